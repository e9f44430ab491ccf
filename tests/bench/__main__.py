"""The measurements: `python -m tests.bench [GROUP | GROUP/PART …] [--quick] [--list]`.

Writes bench/results.json and prints the same as a table. Figures that were not measured this time keep their rows.
"""

import argparse
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# Run from the repository's root, whose folder of tests is not a package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.figures import Figure, Size, merged, progress, table

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"
PARTS = {
    "core": ("wire", "outbox", "ingest", "export", "agent", "demo"),
    "sensors": ("sensing",),
    "compute": ("compute_wasm", "compute_tflite"),
    "identity": ("storm", "rotation", "neighbours"),
}
"""Groups and their parts; each is a module of this folder with a function `measure`."""

Measure = Callable[[str, Size], Iterator[Figure]]


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    if options.list:
        for group, parts in PARTS.items():
            print(group, *(f"{group}/{part}" for part in parts))
        return
    # So that what has been started is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load_before = os.getloadavg()[0]
    found: list[Figure] = []
    for group, part in _chosen(options.what):
        measure: Measure = importlib.import_module(f"bench.{part}").measure
        for figure in measure(group, Size(options.quick)):
            progress(figure.line())
            found.append(figure)
        _keep(options.output, found)
    print(table(found))
    print(f"\nload average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores")


def _keep(output: Path, found: Sequence[Figure]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(output.read_text()) if output.exists() else []
    output.write_text(json.dumps(merged(before, found), indent=1, ensure_ascii=False) + "\n")


def _chosen(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    every = [(group, part) for group, parts in PARTS.items() for part in parts]
    known = {*PARTS, *(f"{group}/{part}" for group, part in every)}
    unknown = sorted(set(names) - known)
    if unknown:
        sys.exit(f"no such group: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    wanted = names or list(PARTS)
    return ((group, part) for group, part in every if group in wanted or f"{group}/{part}" in wanted)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure beside peers and limits.")
    parser.add_argument("what", nargs="*", metavar="GROUP", help="a group, or a part of one as GROUP/PART; all if none")
    parser.add_argument("--quick", action="store_true", help="small sizes, once: shows that it works, measures nothing")
    parser.add_argument("--list", action="store_true", help="show the groups and their parts")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE", help="where the figures go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
