"""Proof that the tests would notice: takes each safeguard of the promise away, and wants the tests meant for it red.

Works on a copy of the tree. First those tests must be green as the code stands; then, safeguard by safeguard, a small
patch removes it and at least one of its tests must fail. `make mutations` runs it; exit status 1 when a patch survives
or does not fit the code any more.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("edge", "server", "shared", "firmware-tools")
FAILED, NOTHING_RUN = 1, 5
"""pytest's exit statuses."""
DEADLINE_S = 300


@dataclass(frozen=True, slots=True)
class Change:
    """A text to replace, which must stand exactly once in the file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """A safeguard, how to take it away, and the tests that must then fail."""

    name: str
    changes: Sequence[Change]
    tests: Sequence[str]


STORE, ROWS = "edge/wayside_edge/outbox/store.py", "edge/wayside_edge/outbox/sqlite.py"
SCHEMA = "edge/wayside_edge/outbox/schema.py"
INGEST, SESSION = "server/wayside_server/ingest/service.py", "server/wayside_server/ingest/mqtt.py"

MUTATIONS = (
    Mutation(
        "acknowledge before the commit",
        [
            Change(
                INGEST,
                "            self._do(intake.Arrived(partial(decode, received.raw, received.channel), ticket))\n",
                "            item = decode(received.raw, received.channel)\n"
                "            if hasattr(item, 'envelope'):\n"
                "                from wayside_shared.session import Ack\n"
                "                seq = item.envelope.seq\n"
                "                early = encode_ack(Ack(item.envelope.epoch, seq, [(seq, seq)]))\n"
                "                session.publish(item.raw.device, Channel.ACK, early, ACK_CONTENT_TYPE)\n"
                "            self._do(intake.Arrived(partial(decode, received.raw, received.channel), ticket))\n",
            )
        ],
        ["tests/unit/test_ingest_order.py", "tests/property/test_simulation.py::test_nothing_is_lost_or_doubled[0]"],
    ),
    Mutation(
        "no deduplication by the ledger",
        [
            Change(
                "server/wayside_server/domain/ingest.py",
                "        entry = known.get(batch.key)\n",
                "        entry = None\n",
            ),
            Change(
                "server/wayside_server/storage/sql/ingest.sql",
                "%(digests)s::bytea[], %(outcomes)s::text[])\n\n-- name: ensure_series",
                "%(digests)s::bytea[], %(outcomes)s::text[])\nON CONFLICT DO NOTHING\n\n-- name: ensure_series",
            ),
        ],
        [
            "tests/integration/test_ingest_store.py::test_a_batch_that_comes_again_changes_nothing_and_is_acknowledged_again"
        ],
    ),
    Mutation(
        "synchronous_commit may be off",
        [
            Change(
                "server/wayside_server/storage/database.py",
                '    "synchronous_commit": ("on", "remote_apply"),\n',
                '    "synchronous_commit": ("on", "remote_apply", "local", "off"),\n',
            )
        ],
        ["tests/integration/test_schema.py::test_a_database_that_could_lose_a_commit_is_refused"],
    ),
    Mutation(
        "write-ahead log with synchronous=NORMAL",
        [
            Change(ROWS, "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),
            Change(ROWS, "synchronous != 2", "synchronous not in (1, 2)"),
        ],
        ["tests/contract/test_outbox_rows.py::test_a_connection_that_is_not_durable_is_refused"],
    ),
    Mutation(
        "write-ahead log with synchronous=NORMAL, in a power cut",
        [
            Change(ROWS, "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"),
            Change(ROWS, "synchronous != 2", "synchronous not in (1, 2)"),
        ],
        ["tests/faults/test_power_cut.py"],
    ),
    Mutation(
        "no AUTOINCREMENT",
        [
            Change(SCHEMA, "    seq INTEGER PRIMARY KEY AUTOINCREMENT,\n", "    seq INTEGER PRIMARY KEY,\n"),
            Change(
                ROWS,
                "SELECT seq FROM sqlite_sequence WHERE name = 'batch'",
                "SELECT max(seq) FROM batch HAVING count(*) > 0",
            ),
        ],
        ["tests/contract/test_outbox_rows.py::test_a_drained_outbox_never_gives_a_number_again"],
    ),
    Mutation(
        "messages acknowledged by the library",
        [Change(SESSION, "            manual_ack=True,\n", "            manual_ack=False,\n")],
        ["tests/integration/test_ingest_session.py::test_the_broker_hands_over_no_more_than_is_acknowledged"],
    ),
    Mutation(
        "QoS 2",
        [
            Change("server/wayside_server/identity/broker.py", '("max_qos 1", ', '("max_qos 2", '),
            Change(
                "edge/wayside_edge/uplink/mqtt.py",
                "publish(message.topic, message.payload, 1, message.retain, properties)",
                "publish(message.topic, message.payload, 2, message.retain, properties)",
            ),
        ],
        ["tests/integration/test_ingest_session.py::test_nothing_travels_above_qos_1"],
    ),
    Mutation(
        "no generation check",
        [
            Change(
                INGEST, "if session is not None and ticket.generation == session.generation:", "if session is not None:"
            ),
            Change(
                "server/wayside_server/ingest/intake.py",
                "for taken in self.group if taken.ticket.generation == self.generation]",
                "for taken in self.group]",
            ),
        ],
        ["tests/unit/test_ingest_order.py::test_a_commit_that_comes_after_its_session_pubacks_nothing_on_the_next"],
    ),
    Mutation(
        "no row hash",
        [
            Change(
                ROWS,
                "if expected is None or expected != digest:",
                "if expected is None:",
            )
        ],
        ["tests/contract/test_outbox_rows.py::test_a_flipped_bit_is_found_and_its_samples_still_counted"],
    ),
    Mutation(
        "batches expire by the wall clock",
        [
            Change(
                STORE,
                "            if row is not None:\n                loaded.append(",
                "            two_days_ns = 2 * 86_400 * NS_PER_S\n"
                "            if row is not None and self._clock.wall_ns() - row.clock.wall_ns < two_days_ns:\n"
                "                loaded.append(",
            )
        ],
        ["tests/contract/test_outbox_time.py"],
    ),
)


def main() -> None:
    """Print a table of what survived, and end with 1 if anything did."""
    chosen = [mutation for mutation in MUTATIONS if all(word in mutation.name for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory(prefix="wayside-mutations-") as folder:
        tree = Path(folder) / "tree"
        _copy(tree)
        tests = list(dict.fromkeys(test for mutation in chosen for test in mutation.tests))
        began = time.monotonic()
        status, output = _run(tree, tests)
        if status:
            print(output)
            sys.exit("the tests are not green without a mutation")
        print(f"{len(tests)} selections of tests are green as the code stands ({time.monotonic() - began:.0f} s)")
        verdicts = {mutation.name: _try(tree, mutation) for mutation in chosen}
    survived = [name for name, verdict in verdicts.items() if verdict not in ("red", "skipped")]
    sys.exit(f"survived: {', '.join(survived)}" if survived else 0)


def _try(tree: Path, mutation: Mutation) -> str:
    """'red' is what is wanted."""
    originals = {change.file: (tree / change.file).read_text() for change in mutation.changes}
    began = time.monotonic()
    for change in mutation.changes:
        text = (tree / change.file).read_text()
        if text.count(change.old) != 1:
            sys.exit(
                f"{mutation.name}: {change.file} holds {text.count(change.old)} times: {change.old!r}; mend the patch"
            )
        (tree / change.file).write_text(text.replace(change.old, change.new))
    status, output = _run(tree, mutation.tests)
    for file, text in originals.items():
        (tree / file).write_text(text)
    passed = status in (0, NOTHING_RUN)
    skipped = passed and " skipped" in output and " passed" not in output
    verdict = "red" if status == FAILED else "skipped" if skipped else "GREEN" if passed else f"BROKEN ({status})"
    print(f"{verdict:8} {time.monotonic() - began:5.1f} s  {mutation.name}", flush=True)
    if verdict not in ("red", "skipped"):
        print(output[-2000:])
    return verdict


def _copy(tree: Path) -> None:
    """The files of the repository as they are now, new ones too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _run(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    # The copy's sources come before the installed ones.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / source) for source in SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=tree, env=environment, check=False, capture_output=True, text=True, timeout=DEADLINE_S
    )
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    main()
