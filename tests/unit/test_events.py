"""One call writes log line and counter."""

import logging
from dataclasses import fields

import pytest

from wayside_edge.health import events
from wayside_edge.health.events import Event, Journal, SensorFailing, SensorRecovered


def test_an_event_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    with caplog.at_level(logging.INFO):
        journal.emit(SensorFailing("roof", "no chip answers at 0x76 {odd}"))
    assert caplog.messages == ["sensor roof began to fail: no chip answers at 0x76 {odd}"]
    assert journal.counts == {"SensorFailing": 1}


def test_what_is_counted_has_its_plural() -> None:
    assert [SensorRecovered("roof", count).text().split(" after ")[1] for count in (1, 2)] == [
        "1 failure",
        "2 failures",
    ]


def test_every_event_has_a_line_that_names_only_its_fields() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    for kind in kinds:
        if kind is not Event:
            event = kind(**{field.name: 1.0 for field in fields(kind)})
            assert event.text()
            assert kind.__doc__
