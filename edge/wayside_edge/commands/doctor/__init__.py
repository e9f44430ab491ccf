"""`wayside-edge doctor`: what keeps this machine from measuring and delivering, each with its fix."""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from wayside_edge import config
from wayside_edge.commands.doctor import board, host, network
from wayside_edge.commands.doctor.finding import Finding, Level, User, problem
from wayside_edge.errors import ConfigError
from wayside_edge.hal.clock import ClockSettings, SystemClock

MARKS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}


def run(options: argparse.Namespace, root: Path = Path("/"), user: User | None = None) -> int:
    """Examine and print; returns 1 when there is a problem.

    Args:
        options: the command line.
        root: where /sys, /dev, /proc, /boot and /run are.
        user: who would open the device nodes; whoever runs this by default.
    """
    findings = []
    for finding in examine(
        options.config, root, user or User(os.geteuid(), frozenset((os.getegid(), *os.getgroups())))
    ):
        findings.append(finding)
        if not options.json:
            fix = f"\n         -> {finding.fix}" if finding.fix else ""
            print(f"{MARKS[finding.level]}  {finding.area}: {finding.what}{fix}", flush=True)
    if options.json:
        told = [{**asdict(finding), "level": finding.level.value} for finding in findings]
        print(json.dumps({"findings": told}, indent=2))
    return int(any(finding.level is Level.PROBLEM for finding in findings))


def examine(file: Path, root: Path, user: User) -> Iterator[Finding]:
    """Every finding, as it is made; a configuration that is wrong leaves out what depends on it."""
    settings = None
    try:
        settings = config.load(file)
    except ConfigError as error:
        yield problem("configuration", str(error), f"mend the file, or type: {network.ENROL}")
    else:
        yield Finding("configuration", Level.OK, f"{file} is right")
    clock = SystemClock(settings.clock if settings is not None else ClockSettings())
    yield from board.examine(settings, root, user)
    yield from host.clock(clock)
    if settings is not None:
        yield from host.storage(settings.outbox)
        yield from network.examine(settings.uplink, clock, settings.identity.token())
    yield from host.service(root)
