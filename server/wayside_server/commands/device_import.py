"""`wayside-server device import FILE`: a token for each row."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from wayside_server import app
from wayside_server.commands.storage import add_tenant, typist, with_storage
from wayside_server.commands.token import hours
from wayside_server.config import ServerSettings
from wayside_server.domain.moments import to_text
from wayside_server.errors import ConfigError
from wayside_server.identity.bulk import (
    COLUMNS,
    MAX_ROWS,
    Form,
    Imported,
    ImportedRow,
    ImportPlan,
    form_of,
    import_devices,
)
from wayside_server.identity.home import Home
from wayside_shared.tables import plural

BAR = 40
_COLUMNS = ("name", "group", "expires", "token")


def add_device_import(devices: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `devices`, those of `wayside-server device`."""
    load = devices.add_parser("import", parents=[shared], help=f"a token for each row of a file, up to {MAX_ROWS}")
    load.add_argument("file", type=Path, metavar="FILE", help=f".csv or .jsonl with {', '.join(COLUMNS)}")
    load.add_argument("--out", type=Path, metavar="FILE", help="where the tokens go, mode 0600 (beside FILE)")
    load.add_argument("--dry-run", action="store_true", help="make nothing, and say what would be")
    load.add_argument("--partial", action="store_true", help="take the good rows even when others are wrong")
    load.add_argument("--hours", type=hours, metavar="H", help="how long a token is good when its row does not say")
    add_tenant(load)
    load.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> None:
    form = form_of(options.file.name)
    try:
        data = options.file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {options.file}: {error.strerror}") from error
    out = options.out or options.file.with_name(f"{options.file.stem}.tokens{options.file.suffix}")

    async def load(storage: app.Storage, settings: ServerSettings) -> None:
        life = options.hours or timedelta(hours=settings.enrolment.token_hours)
        plan = ImportPlan(form, life, dry_run=options.dry_run, partial=options.partial)
        tokens = storage.tokens(Home(options.home))
        caller = await typist(storage, options.tenant)
        total = data.count(b"\n")

        def told(done: int) -> None:
            _show_progress(done, max(total, done))

        if options.dry_run:
            _tell(await import_devices(tokens, data, plan, caller, app.utc_now()), None, partial=options.partial)
            return
        handle = _open_new(out)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            try:
                done = await import_devices(tokens, data, plan, caller, app.utc_now(), told)
                file.write(_written(done.rows, form) if done.made else "")
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                out.unlink()
                raise
        if not done.made:
            out.unlink()
        _tell(done, out, partial=options.partial)

    with_storage(options, load)


def _open_new(out: Path) -> int:
    """Made before the tokens are, so that none is made that cannot be kept."""
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{out} exists and may hold tokens; name another with --out") from error
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}; name another with --out") from error


def _written(rows: Sequence[ImportedRow], form: Form) -> str:
    cells = [(row.name or "", row.group or "", to_text(row.expires_at), row.token or "") for row in rows]
    if form is Form.JSON_LINES:
        return "".join(json.dumps(dict(zip(_COLUMNS, each, strict=True))) + "\n" for each in cells)
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(cells)
    return text.getvalue()


def _tell(done: Imported, out: Path | None, *, partial: bool) -> None:
    """What became of the rows; the command fails when nothing was made and rows are wrong.

    Raises:
        ConfigError: nothing was made because of them.
    """
    for error in done.errors:
        print(f"line {error.line}: {error.message}", file=sys.stderr)
    if done.wrong > len(done.errors):
        print(f"and {done.wrong - len(done.errors)} more", file=sys.stderr)
    if done.made:
        left_out = f"; {_wrong(done.wrong)}" if done.wrong else ""
        print(f"{plural(len(done.rows), 'token')} in {out}{left_out}")
    elif done.wrong:
        # Without a good row there is no part to take.
        rest = ", or add --partial for the others" if done.rows and not partial else ""
        raise ConfigError(f"nothing was made: {_wrong(done.wrong)}; mend what is said above{rest}")
    else:
        print(f"nothing was made; {plural(len(done.rows), 'token')} would be")


def _wrong(count: int) -> str:
    return f"{plural(count, 'row')} {'is' if count == 1 else 'are'} wrong"


def _show_progress(done: int, total: int) -> None:
    if not sys.stderr.isatty():
        return
    filled = BAR * done // max(total, 1)
    end = "\n" if done >= total else ""
    print(f"\r[{'#' * filled}{'.' * (BAR - filled)}] {done:,} of {total:,} rows", end=end, file=sys.stderr, flush=True)
