"""Many devices at once: a file of rows becomes a token for each, all or none."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from io import StringIO

from wayside_server.domain.caller import Caller
from wayside_server.domain.moments import from_us, parse_moment, to_us
from wayside_server.errors import ConfigError
from wayside_server.identity.tokens import TokenOrder, Tokens, check_order
from wayside_shared.tables import plural

MAX_ROWS = 10_000
MAX_IMPORT_BYTES = 2 * 1024 * 1024
"""Room for MAX_ROWS of 200 bytes."""
MAX_ERRORS = 1_000
"""More are counted and not told: whoever has a thousand has one."""
COLUMNS = ("name", "group", "expires", "label")


class Form(Enum):
    """How the rows are written."""

    CSV = "text/csv"
    JSON_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row; `line` counts from 1, its fix is in `message`."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A row that is good; `token` is None when nothing was made."""

    line: int
    name: str | None
    group: str | None
    expires_at: datetime
    token: str | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file.

    Args:
        rows: those that are good.
        errors: what is wrong with the others, up to MAX_ERRORS.
        wrong: how many are wrong.
        made: whether the tokens were made.
    """

    rows: Sequence[ImportedRow]
    errors: Sequence[RowError]
    wrong: int
    made: bool


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """How a file is to be taken.

    Args:
        form: how the rows are written.
        life: how long a token is good when its row does not say.
        dry_run: make nothing, and say what would be.
        partial: make the tokens of the good rows even when others are wrong.
    """

    form: Form
    life: timedelta
    dry_run: bool = False
    partial: bool = False


def _silent(done: int) -> None:
    """Nobody watches."""


async def import_devices(
    tokens: Tokens,
    data: bytes,
    plan: ImportPlan,
    caller: Caller,
    now: datetime,
    told: Callable[[int], None] = _silent,
) -> Imported:
    """Makes a token for each row of `data`.

    Args:
        tokens: makes them.
        data: CSV with a line of column names, or JSON Lines; UTF-8, at most MAX_IMPORT_BYTES and MAX_ROWS rows.
        plan: how it is to be taken.
        caller: who imports.
        now: the time, aware.
        told: of the number of rows that are done.

    Raises:
        ConfigError: the file as a whole cannot be taken; one line with the fix.
        StorageError: nothing happened.
    """
    found = list(_orders(_rows(data, plan.form), plan.life, now))
    good = {line: order for line, order in found if isinstance(order, TokenOrder)}
    errors = [RowError(line, order) for line, order in found if isinstance(order, str)]
    in_use = await tokens.in_use([order.name for order in good.values() if order.name is not None], caller)
    for line, order in list(good.items()):
        if order.name is not None and order.name in in_use:
            errors.append(RowError(line, in_use[order.name].reason))
            del good[line]
    errors.sort(key=lambda error: error.line)
    made = not plan.dry_run and bool(good) and (plan.partial or not errors)
    texts: Sequence[str | None] = [None] * len(good)
    if made:
        texts = [str(token) for token in await tokens.create_all(list(good.values()), caller, told)]
    rows = [
        ImportedRow(line, order.name, order.group, now + order.life, text)
        for (line, order), text in zip(good.items(), texts, strict=True)
    ]
    return Imported(rows, errors[:MAX_ERRORS], len(errors), made)


def form_of(name: str) -> Form:
    """How the rows of the file `name` are written, by its ending.

    Raises:
        ConfigError: it has another ending.
    """
    if name.endswith(".csv"):
        return Form.CSV
    if name.endswith((".jsonl", ".ndjson")):
        return Form.JSON_LINES
    raise ConfigError(f"{name}: the file must end in .csv or .jsonl")


def _rows(data: bytes, form: Form) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    """Line numbers with rows, or with what is wrong with them."""
    if len(data) > MAX_IMPORT_BYTES:
        raise ConfigError(f"the file is larger than {MAX_IMPORT_BYTES} bytes; split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8; save it as UTF-8") from error
    rows = _csv_rows(text) if form is Form.CSV else _json_rows(text)
    for count, row in enumerate(rows):
        if count >= MAX_ROWS:
            raise ConfigError(f"the file has more than {MAX_ROWS} rows; split it")
        yield row


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        head = next(reader, [])
        names = [name.strip().lower() for name in head]
        strange = [name for name in names if name not in COLUMNS]
        if not names or strange or len(set(names)) < len(names):
            wrong = f"; {strange[0][:40]!r} is none" if strange else ""
            raise ConfigError(f"the first line must name columns, each once, of {', '.join(COLUMNS)}{wrong}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                yield reader.line_num, f"it has {plural(len(row), 'cell')} where the first line has {len(names)}"
            else:
                yield reader.line_num, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise ConfigError(f"line {reader.line_num} is not CSV: {error}") from error


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "it is not JSON"
            continue
        if not isinstance(row, dict):
            yield number, 'it is no object; write {"name": "boiler-7"}'
        elif strange := [name for name in row if name not in COLUMNS]:
            yield number, f"{strange[0][:40]!r} is none of {', '.join(COLUMNS)}"
        else:
            yield number, row


def _orders(
    rows: Iterator[tuple[int, Mapping[str, object] | str]], life: timedelta, now: datetime
) -> Iterator[tuple[int, TokenOrder | str]]:
    lines: dict[str, int] = {}
    for line, row in rows:
        if isinstance(row, str):
            yield line, row
            continue
        try:
            order = check_order(_order(row, life, now))
        except ConfigError as error:
            yield line, str(error)
            continue
        if order.name is not None and lines.setdefault(order.name, line) != line:
            yield line, f"{order.name} is in line {lines[order.name]} already"
            continue
        yield line, order


def _order(row: Mapping[str, object], life: timedelta, now: datetime) -> TokenOrder:
    for name, value in row.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} must be a text")
    texts = {name: str(value).strip() for name, value in row.items() if value is not None and str(value).strip()}
    order = TokenOrder(life, name=texts.get("name"), group=texts.get("group"), label=texts.get("label", ""))
    if "expires" not in texts:
        return order
    try:
        expires = from_us(parse_moment(texts["expires"], to_us(now)))
    except ValueError as error:
        raise ConfigError(f"expires: {error}") from error
    if expires <= now:
        raise ConfigError(f"expires: {texts['expires'][:40]} is in the past; give a time to come")
    return replace(order, life=expires - now)
