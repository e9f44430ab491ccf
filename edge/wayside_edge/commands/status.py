"""`wayside-edge status`: how the agent on this board fares, for someone who stands before it."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

from wayside_edge import config
from wayside_edge.commands.running import NotRunningError, ask
from wayside_edge.config import AgentSettings, UnenrolledSettings
from wayside_edge.errors import ConfigError
from wayside_shared.tables import columns
from wayside_shared.text import printable

WATCH_S: Final = 2.0
SHOWN_EVENTS: Final = 8
SHOWN_VALUES: Final = 6
"""Of a sensor in the table; --json has all."""
CLEAR: Final = "\x1b[H\x1b[2J"


def run(options: argparse.Namespace) -> int:
    """Ask and print; returns 0 when an agent answered, and 1 with one line when none runs.

    Args:
        options: the command line.
    """
    settings = config.load_as_far_as_enrolled(options.config)
    while True:
        try:
            told = ask(settings.health, settings.outbox.path, {"ask": "status"}, options.config)
        except NotRunningError as error:
            if not options.watch:
                raise
            text = str(error)
        else:
            told["certificate"] = _certificate(settings)
            # What modules and models say stands among it, and is not to move the cursor.
            text = json.dumps(told) if options.json else "\n".join(map(printable, table(told)))
        if not options.watch:
            print(text)
            return 0
        print(f"{CLEAR if sys.stdout.isatty() and not options.json else ''}{text}", flush=True)
        time.sleep(WATCH_S)


def table(told: dict[str, Any]) -> Iterator[str]:
    """The answer of the agent as lines for a person."""
    yield f"{told['device']}  {told['agent']}, running for {lasting(told['uptime_s'])}, process {told['pid']}"
    yield ""
    yield from _account(told["account"])
    yield from _rest(told)
    yield ""
    yield from _sensors(told["sensors"])
    if told["stages"]:
        yield ""
        yield from _stages(told["stages"])
    events = told["events"][-SHOWN_EVENTS:]
    if events:
        yield ""
        yield from columns([(f"{lasting(each['ago_s'])} ago", each["level"], each["text"]) for each in events])


def _account(account: dict[str, Any]) -> Iterator[str]:
    dropped, refused = account["dropped"], account["refused"]
    yield f"accepted   {account['accepted']:,} samples since the start, {account['waiting']:,} wait in memory"
    outbox = account["outbox"]
    if outbox is None:
        yield "pending    the outbox does not answer now"
    else:
        oldest = "" if outbox["oldest_ns"] is None else f", the oldest {lasting(outbox['oldest_ns'] / 1e9)}"
        room = f"; {outbox['used_bytes'] / 1e6:.1f} MB used"
        yield f"pending    {outbox['pending_samples']:,} in {outbox['pending_batches']:,} batches{oldest}{room}"
    yield f"dropped    {_by_reason(dropped)}"
    yield f"refused    {_by_reason(refused)}"


def _rest(told: dict[str, Any]) -> Iterator[str]:
    link, clock, board = told["link"], told["clock"], told["board"]
    state = "up" if link["connected"] else "DOWN"
    trouble = f": {link['trouble']}" if link["trouble"] and not link["connected"] else ""
    yield f"link       {state} for {lasting(link['for_s'])}{trouble}"
    again = max(link["sessions"] - 1, 0)
    yield f"delivered  {link['delivered']:,} batches, {link['refused']:,} refused, {again} reconnections"
    if link.get("refused_samples"):
        yield f"REFUSED    {link['refused_samples']:,} samples by the server, for good; the latest: {link['refusal']}"
    if link.get("rejected"):
        tries = f"{link['rejections']} times in a row"
        yield f"REJECTED   the broker has refused this device {tries}; see: wayside-edge doctor"
    yield f"certificate {told.get('certificate') or 'not known'}{_renewal(told.get('identity') or {})}"
    offset = "" if clock["offset_s"] is None else f", {clock['offset_s'] * 1e3:+.3f} ms to correct"
    yield f"clock      {'synchronised' if clock['synced'] else 'NOT synchronised'}{offset}"
    hot = f", board at {board['board_temperature']:.1f} °C" if "board_temperature" in board else ""
    low = ", SUPPLY TOO LOW" if board.get("under_voltage") else ""
    disk = f", {board['disk_available'] / 1e6:,.0f} MB of disk free" if "disk_available" in board else ""
    yield f"board      {board.get('memory', 0) / 1e6:.1f} MB, {board.get('cpu', 0.0):.2f} % CPU{hot}{low}{disk}"
    log = told["log"]
    sent = "not copied" if log["send"] == "off" else f"copied from {log['send']} on, {log['waiting']} lines wait"
    yield f"log        {log['level']}, {sent}"


def _renewal(identity: dict[str, Any]) -> str:
    """When the certificate is renewed, and what keeps it from that."""
    if identity.get("renewal") != "on":
        return f"; not renewed: {identity['renewal']}" if identity else ""
    if identity["trouble"]:
        again = _moment(identity["renews_s"])
        return f"; RENEWAL FAILS since {_moment(identity['trouble_since_s'])}: {identity['trouble']}; again {again}"
    return (
        "; a new one is being proved" if identity["proving"] else f"; will renew about {_moment(identity['renews_s'])}"
    )


def _moment(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"


def _sensors(sensors: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("SENSOR", "AGE", "READS", "FAILED", "MISSED", "LATE", "LAST")]
    for each in sensors:
        age = "-" if each["ago_s"] is None else lasting(each["ago_s"])
        counts = (f"{each['reads']:,}", f"{each['failed']:,}", f"{each['missed']:,}")
        rows.append((each["name"], age, *counts, f"{each['late_ms']:.1f} ms", each["trouble"] or _values(each["last"])))
    yield from columns(rows)


def _stages(stages: Sequence[dict[str, Any]]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("STAGE", "AGE", "STATE", "BLOCKS", "FAILED", "GIVEN UP", "TIME", "LAST")]
    for each in stages:
        age = "-" if each["ago_s"] is None else lasting(each["ago_s"])
        counts = (f"{each['blocks']:,}", f"{each['failures']:,}", f"{each['given_up']:,}")
        took = f"{1e3 * each['used_s'] / each['blocks']:.2f} ms" if each["blocks"] else "-"
        rows.append((each["name"], age, _stage_state(each), *counts, took, each["trouble"] or _values(each["last"])))
    yield from columns(rows)
    for each in stages:
        if each["unfed"]:
            yield f"stage {each['name']} got nothing for {', '.join(each['unfed'])} so far"


def _stage_state(stage: dict[str, Any]) -> str:
    if stage["quarantined"]:
        return "QUARANTINED"
    if stage["trouble"]:
        return "FAILING"
    return "at work" if stage["pid"] else "no data yet"


def _values(last: Sequence[dict[str, Any]]) -> str:
    shown = [_value(each) for each in last[:SHOWN_VALUES]]
    return ", ".join(shown) + (f", and {len(last) - SHOWN_VALUES} more" if len(last) > SHOWN_VALUES else "")


def _value(reading: dict[str, Any]) -> str:
    value, quality = reading["value"], reading["quality"]
    if value is None:
        return f"{reading['name']} {quality}"
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = "" if reading["unit"] == "1" else f" {reading['unit']}"
    return f"{reading['name']} {shown}{unit}{f' ({quality})' if quality else ''}"


def _by_reason(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in counts.items()) or "none"


def lasting(seconds: float) -> str:
    """A length of time in the unit that tells most: `3.2 s`, `12 min`, `5 h`, `9 d`."""
    for limit, size, unit in ((10.0, 1.0, "s"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}" if limit == 10.0 else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400.0:.0f} d"


def _certificate(settings: AgentSettings | UnenrolledSettings) -> str | None:
    if isinstance(settings, UnenrolledSettings):
        return None
    try:
        ends = import_module("wayside_edge.uplink.credentials").expires(settings.uplink)
    except ConfigError as error:
        return str(error)
    left_s = (ends - datetime.now(UTC)).total_seconds()
    return f"ends {ends:%Y-%m-%d}, in {lasting(left_s)}" if left_s > 0 else f"ENDED on {ends:%Y-%m-%d}"
