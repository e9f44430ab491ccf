"""What the agent asks of the C library."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from pathlib import Path
from wayside_edge.hal.memory import share_one_heap
if sys.argv[1] == "one":
    share_one_heap()
held, done = [], threading.Event()
def allocate():
    held.append(bytes(50_000))
    done.wait()
threads = [threading.Thread(target=allocate) for _ in range(3)]
for thread in threads: thread.start()
while len(held) < 3: pass
lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
spans = [line[0].split("-") for line in lines if line[1] == "---p"]
print(sum(int(end, 16) - int(begin, 16) > 60 << 20 for begin, end in spans))
done.set()
"""


def heaps_of_threads(how: str) -> int:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return int(ended.stdout)


def test_threads_share_one_heap() -> None:
    assert heaps_of_threads("each") == 3
    assert heaps_of_threads("one") == 0
