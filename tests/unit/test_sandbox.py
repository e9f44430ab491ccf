"""What a process that confined itself can no longer do. Each case is a process of its own, which stays confined."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import errno, json, os, platform, resource, socket, subprocess, sys, threading, time
from wayside_edge.compute.sandbox import address_space_bytes, confine

folder, said, stop = sys.argv[1], {}, threading.Event()
asked, answered = threading.Event(), threading.Event()


def tried(name, call):
    try:
        call()
        said[name] = "went"
    except OSError as error:
        said[name] = errno.errorcode[error.errno]
    except MemoryError:
        said[name] = "MemoryError"


def elsewhere():
    asked.wait()
    tried("socket of a thread before", socket.socket)
    answered.set()


threading.Thread(target=elsewhere, daemon=True).start()
kept = open(os.path.join(folder, "kept"), "w", buffering=1)
said["words"] = list(confine(address_space_bytes() + (256 << 20), cpu_s=20))
tried("socket", socket.socket)
tried("fork", os.fork)
tried("exec", lambda: os.execv("/bin/true", ["true"]))
tried("spawn", lambda: subprocess.run(["/bin/true"]))
tried("write", lambda: open(os.path.join(folder, "new"), "w"))
tried("append", lambda: open(os.path.join(folder, "there"), "a"))
tried("read", lambda: open(os.path.join(folder, "there")).read())
tried("unlink", lambda: os.unlink(os.path.join(folder, "there")))
tried("rename", lambda: os.rename(os.path.join(folder, "there"), os.path.join(folder, "else")))
tried("mkdir", lambda: os.mkdir(os.path.join(folder, "made")))
tried("chmod", lambda: os.chmod(os.path.join(folder, "there"), 0o777))
tried("kill", lambda: os.kill(os.getppid(), 0))
tried("open file", lambda: kept.write("x" * 10000))
tried("memory", lambda: bytearray(1 << 30))
tried("a little memory", lambda: bytearray(8 << 20))
tried("thread", lambda: threading.Thread(target=stop.set).start())
said["ran"] = stop.wait(5)
asked.set()
answered.wait(5)
limits = (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU)
said["limits"] = [resource.getrlimit(each) for each in limits]
print(json.dumps(said), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a sandbox of Linux")
def test_a_confined_process_reads_and_computes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, timeout=60, check=True
    )
    said = json.loads(done.stdout)
    assert said["read"] == said["a little memory"] == said["thread"] == "went"
    assert said["ran"]
    assert said["memory"] == "MemoryError"
    assert said["open file"] == "EFBIG"
    assert said["limits"] == [[0, 0], [0, 0], [20, 20]]
    if any(word.startswith("seccomp") for word in said["words"]):
        pytest.skip(str(said["words"]))
    assert said["words"] == []
    refused = ("socket", "socket of a thread before", "fork", "exec", "spawn", "write", "append", "unlink", "rename")
    assert {name: said[name] for name in (*refused, "mkdir", "chmod", "kill")} == dict.fromkeys(
        (*refused, "mkdir", "chmod", "kill"), "EPERM"
    )
    assert (tmp_path / "there").read_text() == "text"
