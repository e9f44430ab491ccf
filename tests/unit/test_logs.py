"""The log: levels that change, shapes, repeats, files that rotate, and no secrets."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wayside_edge.health import logs as module
from wayside_edge.health.events import Journal, SensorFailing
from wayside_edge.health.lines import Line, as_console, as_journal, as_json
from wayside_edge.health.logs import Logs, RotatingFile, chosen_form
from wayside_edge.health.repeats import MAX_KNOWN, WINDOW_S, Repeats
from wayside_edge.health.settings import LogFormat, LogLevel, LogSettings

CANARY = "c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary0"
log = logging.getLogger("wayside_edge.uplink.session")


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        self.lines.append(line)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    level, stream = logging.getLogger().level, io.StringIO()
    yield stream
    logging.getLogger().setLevel(level)


def started(settings: LogSettings, stream: io.StringIO) -> tuple[Logs, Kept]:
    logs, kept = Logs(settings, stream), Kept()
    logs.attach(kept)
    logs.start()
    return logs, kept


def test_levels_hold_by_module_and_change_for_a_while(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    logs, kept = started(LogSettings(levels=["wayside_edge.outbox = error"]), stream)
    logging.getLogger("wayside_edge.outbox.store").warning("quiet")
    log.debug("quiet")
    log.info("one")
    logs.set_level("wayside_edge.uplink", LogLevel.DEBUG, for_s=60.0)
    log.debug("two")
    now_s = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s + 61.0)
    logs.tick()
    log.debug("quiet")
    assert "wayside_edge.uplink" not in logs.levels
    logs.set_level("wayside_edge.outbox", LogLevel.DEBUG, for_s=60.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s + 200.0)
    logs.tick()
    assert logs.levels["wayside_edge.outbox"] is LogLevel.ERROR
    logs.stop()
    assert [line.text for line in kept.lines] == ["one", "two"]
    assert stream.getvalue().count("\n") == 2


def test_an_event_carries_its_fields_into_json(stream: io.StringIO) -> None:
    logs, _ = started(LogSettings(format=LogFormat.JSON), stream)
    Journal().emit(SensorFailing("roof", f"password={CANARY}"))
    logs.stop()
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["event"] == "SensorFailing"
    assert line["data"] == {"sensor": "roof", "cause": "password=[hidden]"}
    assert line["level"] == "warning"
    assert line["module"] == "wayside_edge.acquisition"
    assert CANARY not in stream.getvalue()


def test_secrets_are_hidden_in_arguments_and_tracebacks(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    log.info("connecting to %s", f"mqtts://me:{CANARY}@broker")
    try:
        raise ValueError(f"token={CANARY}")
    except ValueError:
        log.exception("it broke")
    logs.stop()
    assert CANARY not in stream.getvalue()
    assert "ValueError: token=[hidden]" in kept.lines[1].text
    assert "test_logs.py" in kept.lines[1].text


def test_a_text_that_repeats_is_counted_and_said_at_the_end(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    for _ in range(module.SAME_TEXT + 57):
        log.warning("it is %s again", "broken")
    log.warning("something else")
    logs.stop()
    texts = [line.text for line in kept.lines]
    assert texts.count("it is broken again") == module.SAME_TEXT
    assert texts[-1] == "said 57 more times: it is broken again"
    assert len(texts) == module.SAME_TEXT + 2


def test_a_place_that_floods_with_differing_lines_is_held_back(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    for number in range(module.SAME_KIND + 1000):
        log.warning("batch %d", number)
    logs.stop()
    assert len(kept.lines) == module.SAME_KIND + 1
    assert kept.lines[-1].text == f"said 1000 more times: batch {module.SAME_KIND + 999}"


def test_repeats_begin_anew_after_their_window_and_stay_few() -> None:
    repeats = Repeats(1)
    assert repeats.admit("a", 20, "m", "a", 0.0)
    assert not repeats.admit("a", 20, "m", "a", 1.0)
    assert repeats.take(WINDOW_S - 1) == []
    assert [held.count for held in repeats.take(WINDOW_S)] == [1]
    assert repeats.admit("a", 20, "m", "a", WINDOW_S + 1)
    for number in range(MAX_KNOWN + 100):
        repeats.admit(number, 20, "m", "x", WINDOW_S + 2)
        repeats.take(WINDOW_S + 2)
    assert len(repeats._known) <= MAX_KNOWN


def test_a_record_that_cannot_be_formatted_is_a_line(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    logs.handle(logging.LogRecord(log.name, logging.WARNING, __file__, 1, "%d", ("text",), None))
    log.warning("x" * 100_000)
    logs.stop()
    assert "%d (" in kept.lines[0].text
    assert "cannot be put in: TypeError" in kept.lines[0].text
    assert len(kept.lines[1].text) < module.MAX_TEXT + 20


class Bad:
    """Something of another package that cannot be logged."""

    def __str__(self) -> str:
        raise RuntimeError


def test_whoever_logs_what_cannot_be_logged_goes_on(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    for text, arguments in (("%s", (Bad(),)), (Bad(), None), ("%(a)s", ({"b": 1},))):
        logs.handle(logging.LogRecord(log.name, logging.WARNING, __file__, 1, text, arguments, None))
    logs.stop()
    assert [each.text.rpartition(": ")[2] for each in kept.lines] == ["RuntimeError)", "RuntimeError)", "KeyError)"]


def test_a_module_that_floods_with_texts_of_its_own_making_is_held_back(stream: io.StringIO) -> None:
    logs, kept = started(LogSettings(), stream)
    for number in range(3 * module.SAME_MODULE):
        log.warning(f"text {number}")  # noqa: G004
    assert len(kept.lines) <= module.SAME_MODULE
    logs.stop()
    assert len(kept.lines) < module.SAME_MODULE + 2 * MAX_KNOWN


def test_a_text_cannot_pose_as_another_line() -> None:
    forged = line("one\n2026-01-01 00:00:00,000 CRITICAL all is lost\r\x1b[2J\x85\u2028\u202e\x07")
    first, second = as_console(forged).split("\n")
    assert first.endswith("WARNING one")
    assert second == r"    2026-01-01 00:00:00,000 CRITICAL all is lost\r\x1b[2J\x85\u2028\u202e\x07"
    assert as_journal(forged).split("\n")[1] == r"<4>" + second.strip()


def test_a_disk_with_room_for_half_a_line_holds_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RotatingFile(tmp_path / "agent.log", 10_000, 20_000, lambda each: each.text)
    file.write(line("whole"))
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(module.os, "write", lambda handle, data: write(handle, data[:3]))
        with pytest.raises(OSError, match="No space left"):
            file.write(line("torn"))
    file.write(line("again"))
    file.close()
    assert (tmp_path / "agent.log").read_text() == "whole\nagain\n"


def line(text: str, level: int = 30) -> Line:
    return Line(1, 1_800_000_000_123_456_789, 5, level, "wayside", text)


def test_shapes() -> None:
    assert as_journal(line("one\ntwo")) == "<4>one\n<4>two"
    assert as_console(line("one")).endswith(",123 WARNING one")
    assert json.loads(as_json(line("one")))["time"] == "2027-01-15T08:00:00.123Z"


def test_the_journal_is_known_by_the_stream_that_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "err").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
        assert chosen_form(LogFormat.AUTO, stream) is as_console
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert chosen_form(LogFormat.AUTO, stream) is as_journal
        assert chosen_form(LogFormat.CONSOLE, stream) is as_console
    assert chosen_form(LogFormat.AUTO, io.StringIO()) is as_console


def test_a_file_rotates_and_all_together_keep_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "log" / "agent.log"
    file = RotatingFile(path, 1_000, 3_000, lambda each: each.text)
    for number in range(500):
        file.write(line(f"{number:099d}"))
    file.close()
    sizes = {each.name: each.stat().st_size for each in path.parent.iterdir()}
    assert sizes == {"agent.log": 1_000, "agent.log.1": 1_000, "agent.log.2": 1_000}
    assert path.read_text().splitlines()[-1] == f"{499:099d}"
    assert (path.parent / "agent.log.1").read_text().splitlines()[-1] == f"{489:099d}"
    smaller = RotatingFile(path, 1_000, 2_000, lambda each: each.text)
    smaller.write(line("x"))
    smaller.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["agent.log", "agent.log.1"]


def test_a_file_that_cannot_be_written_is_said_once_and_the_rest_goes_on(tmp_path: Path, stream: io.StringIO) -> None:
    (tmp_path / "folder").write_text("in the way")
    logs, kept = started(LogSettings(file=tmp_path / "folder" / "agent.log"), stream)
    log.info("one")
    log.info("two")
    logs.stop()
    assert len(kept.lines) == 2
    assert stream.getvalue().count("cannot be written") == 1


@pytest.mark.parametrize(
    "wrong",
    [{"levels": ["wayside_edge"]}, {"levels": ["wayside_edge = loud"]}, {"file_mb": 5, "total_mb": 9}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"levels|total_mb"):
        LogSettings(**wrong)  # type: ignore[arg-type]
