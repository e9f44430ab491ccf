"""The fault laboratory: `python -m tests.faults [--seed N] [--kills N] [--points N] [--cuts N]`.

FAULTS=full in the environment makes the run a long one.

Kills real processes at random and at named points and cuts the power of a file system, then compares what was
accepted with what is stored. The last line is the verdict as one JSON object; the exit status is 0 only when nothing
was lost, doubled, invented or torn.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

# Run from the repository's root, whose folder of tests is not a package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from faults.counting import Api, dropped_by_sql, stored_by_sql
from faults.laboratory import Laboratory, LaboratoryError, Size
from faults.ledger import judge
from faults.power import cut_power, why_not_here
from wayside_server.storage.embedded import EmbeddedPostgres

QUICK, FULL = Size(kills=100, at_each_point=3), Size(kills=1000, at_each_point=100)
QUICK_CUTS, FULL_CUTS = 5, 60
MIN_KILLS = 100
API_DEADLINE_S = 30.0


def main() -> None:
    """Run the laboratory and end with its verdict."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="wayside-faults-"))
    laboratory = Laboratory(folder, Random(options.seed), Size(options.kills, options.points))
    print(f"fault laboratory: seed {options.seed}, {options.kills} random kills, {options.points} at each named point")
    try:
        verdict = _live(laboratory)
        verdict |= {"power_cuts": _cuts(options.cuts, options.seed)}
    except (LaboratoryError, ExceptionGroup) as error:
        verdict = {"error": _first(error)}
    verdict |= {"seed": options.seed, "seconds": round(laboratory.seconds, 1)}
    good = "error" not in verdict and _good(verdict, options.kills)
    if good:
        shutil.rmtree(folder)
    else:
        print(f"ledgers, logs, outboxes and database are kept in {folder}")
    print(json.dumps(verdict), flush=True)
    sys.exit(0 if good else 1)


def _live(laboratory: Laboratory) -> dict[str, Any]:
    try:
        laboratory.install()
        asyncio.run(laboratory.run())
        return _count(laboratory)
    finally:
        laboratory.stop()


def _count(laboratory: Laboratory) -> dict[str, Any]:
    where = EmbeddedPostgres(laboratory.home.postgres).conninfo
    by_sql, dropped = stored_by_sql(where), dropped_by_sql(where)
    verdict = judge(laboratory.ledgers, by_sql, dropped)
    by_api, accounts = _ask_api(laboratory)
    again = judge(laboratory.ledgers, by_api, dropped)
    print(
        f"settled {laboratory.drain_s:.1f} s after the last kill; counted in SQL: {verdict};"
        f" in the CSV exports: {'the same' if again == verdict else again}"
    )
    return {
        "kills": laboratory.kills.total() + laboratory.points.total(),
        "accepted": verdict.accepted,
        "lost": max(verdict.lost, again.lost),
        "duplicated": max(verdict.duplicated, again.duplicated),
        "phantom": max(verdict.phantom, again.phantom),
        "partial": max(verdict.partial, again.partial),
        "stored": sum(counts.total() for counts in by_sql.values()),
        "export_csv_rows": sum(counts.total() for counts in by_api.values()),
        "missing": sum(account.missing for account in accounts.values()),
        "in_doubt": verdict.in_doubt,
        "killed": dict(laboratory.kills),
        "points": dict(laboratory.points),
        "drain_s": round(laboratory.drain_s, 1),
    }


def _ask_api(laboratory: Laboratory) -> tuple[dict[str, Any], dict[str, Any]]:
    key = laboratory.server("api-key", "create", "faults")
    server = laboratory.program("api")
    server.start()
    api = Api(laboratory.api_port, str(laboratory.home.ca_file), key)
    try:
        deadline = time.monotonic() + API_DEADLINE_S
        while not api.answers():
            if time.monotonic() > deadline:
                raise LaboratoryError(f"the API does not answer: {server.last_words()}")
            time.sleep(0.05)
        return api.stored(laboratory.ledgers), {name: api.account(name) for name in laboratory.ledgers}
    finally:
        api.close()
        server.kill()


def _cuts(count: int, seed: int) -> Mapping[str, Any]:
    reason = why_not_here() if count else "none were asked for"
    if reason:
        print(f"power cuts: skipped, {reason}")
        return {"skipped": reason}
    with tempfile.TemporaryDirectory(prefix="wayside-power-") as folder:
        result = cut_power(Path(folder), count, Random(seed))
    print(f"power cuts: {result}")
    return {"cuts": result.cuts, "accepted": result.accepted, "lost": result.lost}


def _good(verdict: Mapping[str, Any], kills: int) -> bool:
    counts = ("lost", "duplicated", "phantom", "partial", "missing")
    return (
        all(verdict[name] == 0 for name in counts)
        and verdict["kills"] >= min(MIN_KILLS, kills)
        and verdict["stored"] == verdict["export_csv_rows"] >= verdict["accepted"] > 0
        and verdict["power_cuts"].get("lost", 0) == 0
    )


def _first(error: BaseException) -> str:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else f"{type(error).__name__}: {error}"


def _options() -> argparse.Namespace:
    full = os.environ.get("FAULTS") == "full"
    size, cuts = (FULL, FULL_CUTS) if full else (QUICK, QUICK_CUTS)
    parser = argparse.ArgumentParser(prog="make faults", description="Kill everything, and count.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the draw of a run")
    parser.add_argument("--kills", type=int, default=size.kills, help="random kills (%(default)s)")
    parser.add_argument("--points", type=int, default=size.at_each_point, help="at each named point (%(default)s)")
    parser.add_argument("--cuts", type=int, default=cuts, help="power cuts (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
