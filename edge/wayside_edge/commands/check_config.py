"""`wayside-edge check-config`: whether a file is right, and whether this device has what it needs to deliver."""

import argparse
import asyncio
import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from wayside_edge import config, registry
from wayside_edge.compute.serving import StageError
from wayside_edge.compute.settings import StageSettings
from wayside_edge.compute.worker import Worker, command_of
from wayside_edge.config import AgentSettings, UnenrolledSettings
from wayside_edge.errors import ConfigError
from wayside_edge.identity.guarding import refuse_readable
from wayside_edge.registry import SensorSettings
from wayside_shared.settings import from_table
from wayside_shared.stage_worker import Load


def run(options: argparse.Namespace) -> int:
    """Check and say; returns 0 when the file is right, also on a device that is not enrolled yet.

    Args:
        options: the command line.

    Raises:
        ConfigError: the file is wrong, a stage cannot run, or the files that its `[uplink]` names do not let this
            device connect.
    """
    settings = config.load_as_far_as_enrolled(options.config)
    for remark in (*_missing_files(settings.sensor), *_unfed_stages(settings.sensor, settings.stage)):
        print(f"wayside-edge: {remark}", file=sys.stderr)
    _refuse_broken_stages(settings.stage)
    counts = [_counted(len(settings.sensor), "sensor", "s"), _counted(len(settings.bus), "bus", "es")]
    if settings.stage:
        counts.append(_counted(len(settings.stage), "stage", "s"))
    print(f"{options.config} is right: {', '.join(counts)}")
    _say_whether_it_can_deliver(settings, options.config)
    return 0


def _refuse_broken_stages(stages: Sequence[StageSettings]) -> None:
    """Have a worker load each stage's file with its settings, as the agent will; all that fails is said."""
    broken = [found for stage in stages if (found := asyncio.run(_trouble(stage))) is not None]
    for error in broken[:-1]:
        print(f"wayside-edge: {error}", file=sys.stderr)
    if broken:
        raise broken[-1]


async def _trouble(stage: StageSettings) -> ConfigError | None:
    with tempfile.TemporaryDirectory(prefix="wayside-check-") as cache:
        load = Load(
            str(stage.file), stage.sha256, stage.limits, tuple(stage.inputs), dict(stage.settings.values), None, cache
        )
        try:
            worker, _ = await Worker.start(stage.name, command_of(stage.kind), load)
        except StageError as error:
            return stage.table.error(f"stage {stage.name!r} cannot run: {error}")
        await worker.close()
    return None


def _unfed_stages(sensors: Sequence[SensorSettings], stages: Sequence[StageSettings]) -> Iterator[str]:
    """A remark about each input of a stage that nothing in the file can give."""
    sources = [(sensor.name, _names(sensor)) for sensor in sensors]
    for stage in stages:
        for pattern in stage.inputs:
            if not any(_can_match(pattern, source, names) for source, names in sources):
                what = f"stage {stage.name!r}: a warning: no sensor here and no stage above it gives {pattern!r}"
                below = any(_can_match(pattern, other.name, ()) for other in stages if other is not stage)
                hint = "; a stage sees only what stands above it" if below else ""
                yield str(stage.table.error(what + hint, "inputs"))
        sources.append((stage.name, ()))


def _names(sensor: SensorSettings) -> Sequence[str]:
    """The readings that a sensor can give; none when they depend on what is there."""
    kind = registry.load(sensor.kind)
    return [] if kind is None or sensor.reading else [quantity.name for quantity in kind.quantities]


def _can_match(pattern: str, source: str, names: Sequence[str]) -> bool:
    """Whether a series of `source` can match: one of `names`, or any below it where those are not known."""
    if names:
        return any(_alike(f"{source}.{name}", pattern) for name in names)
    head = pattern[: len(source) + 1]
    return fnmatchcase(f"{source}.", head) or any(sign in head for sign in "*?[")


def _alike(series: str, pattern: str) -> bool:
    # What a driver says it gives may be a pattern itself, as `channel_*`.
    return fnmatchcase(series, pattern) or fnmatchcase(pattern, series)


def _say_whether_it_can_deliver(settings: AgentSettings | UnenrolledSettings, file: Path) -> None:
    credentials = importlib.import_module("wayside_edge.uplink.credentials")
    if isinstance(settings, UnenrolledSettings):
        print(f"this device is not enrolled: to deliver, it needs {credentials.ENROL} --config {file}")
        return
    in_token = settings.identity.key is not None
    if not in_token:
        refuse_readable(settings.uplink.key_file)
    credentials.check(settings.uplink, datetime.now(UTC), in_token=in_token)
    print(f"{settings.uplink.device} has what it needs to connect to {settings.uplink.host}:{settings.uplink.port}")


def _missing_files(sensors: Sequence[SensorSettings]) -> Iterator[str]:
    """A remark about each path in a driver's settings that leads nowhere now; it may be there when the agent runs."""
    for sensor in sensors:
        kind = registry.load(sensor.kind)
        if kind is None:
            continue
        chip = from_table(kind.settings, sensor.options)
        for field in dataclasses.fields(chip):
            path = getattr(chip, field.name)
            if isinstance(path, Path) and not path.exists():
                yield str(sensor.options.error(f'{field.name} = "{path}": a warning: it is not there now', field.name))


def _counted(count: int, noun: str, plural: str) -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"
