"""Lines of devices' logs, kept up to what one device may take up."""

from collections.abc import Sequence
from datetime import timedelta

from wayside_server.domain.ingest import DeviceLog
from wayside_server.domain.limits import DeviceLimits
from wayside_server.storage.admission import lock_devices
from wayside_server.storage.database import Connection
from wayside_server.storage.ingest_group import Group
from wayside_server.storage.statements import load_statements
from wayside_shared.device_log import LEVELS
from wayside_shared.text import to_json

_SQL = load_statements("ingest")


async def keep_lines(conn: Connection, group: Group, logs: Sequence[DeviceLog], limits: DeviceLimits) -> None:
    """Store the lines of `logs` that are not there yet, and forget the oldest ones beyond the limits."""
    rows = [(group.devices[log.raw.device], log.run, line) for log in logs for line in log.lines]
    if not rows:
        return
    # Two sessions may hold the same message, and would wait for each other's rows.
    await lock_devices(conn, group)
    columns = {
        "device_ids": [device_id for device_id, _, _ in rows],
        "runs": [run for _, run, _ in rows],
        "numbers": [line.number for _, _, line in rows],
        "at_ms": [line.at_ms for _, _, line in rows],
        "levels": [LEVELS[line.level] for _, _, line in rows],
        "modules": [line.module for _, _, line in rows],
        "texts": [line.text for _, _, line in rows],
        "events": [line.event for _, _, line in rows],
        "data": [to_json(dict(line.data)) for _, _, line in rows],
    }
    await conn.execute(_SQL["add_log"], columns)
    kept = {
        "device_ids": sorted({device_id for device_id, _, _ in rows}),
        "most": limits.log_lines,
        "longest": timedelta(days=limits.log_days),
    }
    await conn.execute(_SQL["trim_log"], kept)
