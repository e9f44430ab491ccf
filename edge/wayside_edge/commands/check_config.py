"""`wayside-edge check-config`: whether a file is right, and whether this device has what it needs to deliver."""

import argparse
import dataclasses
import hashlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from wayside_edge import config, registry
from wayside_edge.compute.settings import StageSettings
from wayside_edge.config import AgentSettings, UnenrolledSettings
from wayside_edge.identity.guarding import refuse_readable
from wayside_edge.registry import SensorSettings
from wayside_shared.settings import from_table


def run(options: argparse.Namespace) -> int:
    """Check and say; returns 0 when the file is right, also on a device that is not enrolled yet.

    Args:
        options: the command line.

    Raises:
        ConfigError: the file is wrong, or the files that its `[uplink]` names do not let this device connect.
    """
    settings = config.load_as_far_as_enrolled(options.config)
    counts = [_counted(len(settings.sensor), "sensor", "s"), _counted(len(settings.bus), "bus", "es")]
    if settings.stage:
        counts.append(_counted(len(settings.stage), "stage", "s"))
    print(f"{options.config} is right: {', '.join(counts)}")
    for remark in (*_missing_files(settings.sensor), *_wrong_files(settings.stage)):
        print(f"wayside-edge: {remark}", file=sys.stderr)
    _say_whether_it_can_deliver(settings, options.config)
    return 0


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


def _wrong_files(stages: Sequence[StageSettings]) -> Iterator[str]:
    """A remark about each stage whose file is not the one that it names; it may be when the agent runs."""
    for stage in stages:
        try:
            found = hashlib.sha256(stage.file.read_bytes()).hexdigest()
        except OSError as error:
            yield str(stage.settings.error(f"a warning: the file of stage {stage.name!r} cannot be read: {error}"))
            continue
        if found != stage.sha256:
            what = f"a warning: {stage.file} of stage {stage.name!r} is another file: its sha256 is {found}"
            yield str(stage.settings.error(what))


def _counted(count: int, noun: str, plural: str) -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"
