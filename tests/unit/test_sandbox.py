"""What a process that confined itself can no longer do. Each case is a process of its own, which stays confined."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, errno, json, os, platform, resource, signal, socket, subprocess, sys, threading, time
from pathlib import Path
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
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p


def called(name, *arguments):
    def call():
        if getattr(libc, name)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), "refused")

    tried(name, call)


agent, others = os.getppid(), (ctypes.c_ulong * 2)(3, 3)
kept = open(os.path.join(folder, "kept"), "w", buffering=1)
said["words"] = list(confine(address_space_bytes() + (256 << 20), cpu_s=20, places=[Path(folder, "places")]))
tried("signal to itself", lambda: signal.pthread_kill(threading.get_ident(), 0))
called("tgkill", agent, agent, 0)
called("prlimit", agent, resource.RLIMIT_NOFILE, others, None)
called("setpriority", os.PRIO_PROCESS, agent, 19)
called("sched_setaffinity", agent, 128, b"\\1" + bytes(127))
called("shmget", 0, 1 << 20, 0o1600)
called("msgget", 0, 0o1600)
called("semget", 0, 1, 0o1600)
called("mq_open", b"/wayside", os.O_RDWR | os.O_CREAT, 0o600, None)
called("utimes", os.path.join(folder, "there").encode(), None)
called("setxattr", os.path.join(folder, "there").encode(), b"user.a", b"b", 1, 0)
tried("socket", socket.socket)
tried("fork", os.fork)
tried("exec", lambda: os.execv("/bin/true", ["true"]))
tried("spawn", lambda: subprocess.run(["/bin/true"]))
tried("write", lambda: open(os.path.join(folder, "new"), "w"))
tried("append", lambda: open(os.path.join(folder, "there"), "a"))
tried("read", lambda: open(os.path.join(folder, "places", "there")).read())
tried("read the key", lambda: open(os.path.join(folder, "there")).read())
tried("list", lambda: os.listdir(folder))
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
    (tmp_path / "places").mkdir()
    (tmp_path / "places" / "there").write_text("text")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, timeout=60, check=True
    )
    said = json.loads(done.stdout)
    assert said["read"] == said["a little memory"] == said["thread"] == said["signal to itself"] == "went"
    assert said["ran"]
    assert said["memory"] == "MemoryError"
    assert said["open file"] == "EFBIG"
    assert said["limits"] == [[0, 0], [0, 0], [20, 20]]
    if any(word.startswith("seccomp") for word in said["words"]):
        pytest.skip(str(said["words"]))
    refused = (
        *("socket", "socket of a thread before", "fork", "exec", "spawn", "write", "append", "unlink", "rename"),
        *("mkdir", "chmod", "kill", "tgkill", "prlimit", "setpriority", "sched_setaffinity", "shmget", "msgget"),
        *("semget", "mq_open", "utimes", "setxattr"),
    )
    assert {name: said[name] for name in refused} == dict.fromkeys(refused, "EPERM")
    assert (tmp_path / "there").read_text() == "text"
    if said["words"] != ["landlock: 1 threads ran already"]:
        pytest.skip(str(said["words"]))
    assert said["read the key"] == said["list"] == "EACCES"


WORKER = """
import sys
from pathlib import Path
from wayside_edge.compute.landlock import readable_places, read_only
from wayside_edge.compute.sandbox import confine

print(confine(1 << 40))
import wave, xml.dom.minidom
for name in sys.argv[1:]:
    try:
        print(bool(Path(name).read_bytes()))
    except OSError as error:
        print(error.strerror)
"""


def test_a_worker_may_read_its_libraries_and_not_the_keys_of_the_device(tmp_path: Path) -> None:
    (tmp_path / "device.key").write_text("secret")
    names = ("device.key", str(tmp_path / "device.key"), "/etc/passwd", f"/proc/{os.getpid()}/environ", json.__file__)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *names], stdout=subprocess.PIPE, timeout=60, check=True, cwd=tmp_path, text=True
    )
    words, *found = done.stdout.splitlines()
    if words != "[]":
        pytest.skip(words)
    assert found == ["Permission denied"] * 4 + ["True"]
