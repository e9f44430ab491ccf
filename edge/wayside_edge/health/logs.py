"""The agent's log: `logging` stays the way to say something, this is where it goes.

Each record becomes one `Line`, without secrets and without endless repeats, and goes to standard error, to a file if
one is wanted, and to whoever is attached (the copy for the server).
"""

import errno
import glob
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from wayside_edge.health.events import Event
from wayside_edge.health.lines import Line, as_console, as_journal, as_json
from wayside_edge.health.redaction import redact
from wayside_edge.health.repeats import Held, Repeats
from wayside_edge.health.settings import MIB, LogFormat, LogLevel, LogSettings

SAME_TEXT: Final = 10
SAME_KIND: Final = 200
SAME_MODULE: Final = 2_000
"""Lines that pass in a minute: of one text, of one place in the program, and of one module. Ten show a rhythm; two
hundred lines differ in something, and a place that says more would fill the file of a small card. The last one holds a
package that puts its texts together before it logs them, which makes a place of each."""
MAX_TEXT: Final = 8 * 1024
"""Characters of a line; a traceback of a deep recursion is longer."""
ROUGHLY: Final = 4 * MAX_TEXT
"""Characters that are looked through for secrets: what a cut leaves of one in the middle is cut off in the end."""
FILE_AGAIN_S: Final = 30.0
"""A file that could not be written is tried again after this."""


class Sink(Protocol):
    """Takes lines; called with the handler's lock held, from any thread."""

    def write(self, line: Line) -> None:
        """Take `line`.

        Raises:
            OSError: it cannot.
        """


class Logs(logging.Handler):
    """The handler of the root logger, with levels that can be changed while the agent runs.

    Args:
        settings: `[log]`.
        stream: in place of standard error.
    """

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        super().__init__()
        stream = stream or sys.stderr
        form = chosen_form(settings.format, stream)
        self._console: Sink = _Stream(stream, form)
        self._file: RotatingFile | None = None
        if settings.file is not None:
            plain = as_json if settings.format is LogFormat.JSON else as_console
            self._file = RotatingFile(settings.file, settings.file_mb * MIB, settings.total_mb * MIB, plain)
        self._file_again_s = 0.0
        self._sinks: list[Sink] = []
        self._same_text, self._same_kind, self._same_module = (
            Repeats(most) for most in (SAME_TEXT, SAME_KIND, SAME_MODULE)
        )
        self._number = 0
        self._configured = {"": settings.level, **settings.by_module()}
        self._levels = dict(self._configured)
        self._until_s: dict[str, float] = {}

    def start(self) -> None:
        """Become the root logger's only handler, and set the levels."""
        root = logging.getLogger()
        for handler in [each for each in root.handlers if isinstance(each, Logs)]:
            root.removeHandler(handler)
        root.addHandler(self)
        for module, level in self._levels.items():
            logging.getLogger(module).setLevel(level.number)

    def stop(self) -> None:
        """Say what was held back, and leave the root logger."""
        self.tick(everything=True)
        logging.getLogger().removeHandler(self)
        for module in self._levels:
            logging.getLogger(module).setLevel(logging.WARNING if not module else logging.NOTSET)
        if self._file is not None:
            self._file.close()

    def attach(self, sink: Sink) -> None:
        """Give `sink` each line from now on."""
        self._sinks.append(sink)

    @property
    def levels(self) -> Mapping[str, LogLevel]:
        """The levels in force, by module; that of all others is under the empty name."""
        return dict(self._levels)

    def set_level(self, module: str, level: LogLevel, for_s: float | None = None) -> None:
        """Log `module` and what is below it from `level` on.

        Args:
            module: its name; empty for all that have no level of their own.
            level: least level.
            for_s: after this the level of the configuration holds again, in seconds; None for good.
        """
        with self._locked():
            self._levels[module] = level
            self._until_s.pop(module, None)
            if for_s is not None:
                self._until_s[module] = time.monotonic() + for_s
        logging.getLogger(module).setLevel(level.number)

    def forget_level(self, module: str) -> None:
        """Take back what `set_level` said of `module`: the level of the configuration holds again."""
        with self._locked():
            if module in self._levels:
                self._until_s.pop(module, None)
                self._take_back(module)

    def tick(self, *, everything: bool = False) -> None:
        """Say what was held back, and take levels back whose time is over; call it every few seconds."""
        now_s = time.monotonic()
        with self._locked():
            for held in [each for one in self._limits() for each in one.take(now_s, everything=everything)]:
                self._write(self._line(held.level, held.module, _summary(held)))
            over = [module for module, until_s in self._until_s.items() if until_s <= now_s]
            for module in over:
                del self._until_s[module]
                self._take_back(module)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record (see `logging.Handler`)."""
        event = getattr(record, "event", None)
        text = _cut(redact(_cut(_text(record), ROUGHLY)))
        level = min(max(record.levelno // 10 * 10, 10), 50)
        now_s = time.monotonic()
        kind = type(event).__name__ if isinstance(event, Event) else (record.msg if type(record.msg) is str else "")
        self.tick()
        if not self._same_text.admit((record.name, text), level, record.name, text, now_s):
            return
        if not self._same_kind.admit((record.name, kind), level, record.name, text, now_s):
            return
        if not self._same_module.admit(record.name, level, record.name, text, now_s):
            return
        self._write(self._line(level, record.name, text, event if isinstance(event, Event) else None))

    def _limits(self) -> tuple[Repeats, Repeats, Repeats]:
        return self._same_text, self._same_kind, self._same_module

    def _line(self, level: int, module: str, text: str, event: Event | None = None) -> Line:
        self._number += 1
        name = None if event is None else type(event).__name__
        data = {} if event is None else {each.name: _plain(getattr(event, each.name)) for each in fields(event)}
        boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return Line(self._number, time.time_ns(), boottime_ns, level, module, text, name, data)

    def _write(self, line: Line) -> None:
        with suppress(OSError, ValueError):  # whoever read standard error has gone; there is nobody to tell
            self._console.write(line)
        self._write_file(line)
        for sink in self._sinks:
            sink.write(line)

    def _write_file(self, line: Line) -> None:
        now_s = time.monotonic()
        if self._file is None or now_s < self._file_again_s:
            return
        try:
            self._file.write(line)
        except OSError as error:
            if not self._file_again_s:
                said = f"the log file {self._file.path} cannot be written: {error.strerror}; trying again"
                with suppress(OSError, ValueError):
                    self._console.write(self._line(logging.ERROR, __name__, said))
            self._file_again_s = now_s + FILE_AGAIN_S
        else:
            self._file_again_s = 0.0

    def _take_back(self, module: str) -> None:
        level = self._configured.get(module)
        if level is None:
            del self._levels[module]
        else:
            self._levels[module] = level
        logging.getLogger(module).setLevel(logging.NOTSET if level is None else level.number)

    def _locked(self) -> "_Locked":
        return _Locked(self)


class _Locked:
    """The handler's lock, as a context."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        self._handler.acquire()

    def __exit__(self, *_: object) -> None:
        self._handler.release()


class RotatingFile:
    """A file that is put aside when it is full; the oldest ones put aside make room.

    Args:
        path: the file; those put aside are `path`.1 and so on, the newest first.
        file_bytes: its size at most.
        total_bytes: all together at most.
        form: makes the text of a line.
    """

    def __init__(self, path: Path, file_bytes: int, total_bytes: int, form: Callable[[Line], str]) -> None:
        self.path = path
        self._file_bytes = file_bytes
        self._keep = max(total_bytes // file_bytes - 1, 1)
        self._form = form
        self._handle: int | None = None
        self._size = 0

    def write(self, line: Line) -> None:
        """See `Sink`."""
        data = f"{self._form(line)}\n".encode(errors="backslashreplace")
        try:
            if self._handle is None:
                self._open()
            if self._size + len(data) > self._file_bytes and self._size:
                self._rotate()
            assert self._handle is not None
            self._put(data)
        except OSError:
            self.close()
            raise

    def _put(self, data: bytes) -> None:
        """All of `data` or nothing: on a disk that is full only a part of a line may find room."""
        assert self._handle is not None
        written = os.write(self._handle, data)
        if written < len(data):
            os.ftruncate(self._handle, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def close(self) -> None:
        """Let the file go; the next line opens it anew."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for aside in self.path.parent.glob(f"{glob.escape(self.path.name)}.*"):
            number = aside.name.removeprefix(f"{self.path.name}.")
            if number.isdigit() and int(number) > self._keep:
                aside.unlink(missing_ok=True)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._handle).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep, 0, -1):
            older = self.path if number == 1 else self._aside(number - 1)
            with suppress(FileNotFoundError):
                older.replace(self._aside(number))
        self._open()

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class _Stream:
    def __init__(self, stream: TextIO, form: Callable[[Line], str]) -> None:
        self._stream = stream
        self._form = form

    def write(self, line: Line) -> None:
        self._stream.write(f"{self._form(line)}\n")
        self._stream.flush()


def chosen_form(wanted: LogFormat, stream: TextIO) -> Callable[[Line], str]:
    """How lines look on `stream`."""
    if wanted is LogFormat.JSON:
        return as_json
    return as_journal if wanted is LogFormat.AUTO and _is_journal(stream) else as_console


def _is_journal(stream: TextIO) -> bool:
    """Whether `stream` leads to the journal: systemd.exec(5) names its device and inode in JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _text(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - what is logged may do anything when it is asked for its text
        said = record.msg if type(record.msg) is str else type(record.msg).__name__
        text = f"{said} ({record.pathname}:{record.lineno}: what it says cannot be put in: {type(error).__name__})"
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return text


def _cut(text: str, most: int = MAX_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}\n[…]\n{text[-most // 2 :]}"


def _plain(value: Any) -> Any:
    return _cut(redact(_cut(value, ROUGHLY))) if isinstance(value, str) else value


def _summary(held: Held) -> str:
    return f"said {held.count} more time{'' if held.count == 1 else 's'}: {held.text}"
