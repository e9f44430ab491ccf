"""The link's trouble is said once, and its end once."""

import logging

import pytest

from wayside_edge.uplink.condition import LinkCondition


def test_what_is_tried_again_is_said_once_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    condition = LinkCondition("boiler-7")
    with caplog.at_level(logging.INFO):
        for reason in ("away", "away", "refused", "away", "refused"):
            condition.refused(reason)
        condition.opened()
        condition.refused("away")
    assert [message.split(";")[0] for message in caplog.messages] == [
        "uplink down: away",
        "uplink down: refused",
        "uplink up after 5 failures",
        "uplink down: away",
    ]


def test_sessions_that_fall_at_once_are_no_recovery(caplog: pytest.LogCaptureFixture) -> None:
    condition = LinkCondition("boiler-7")
    with caplog.at_level(logging.INFO):
        condition.opened()
        for _ in range(5):
            condition.ended("broke", stood=False)
            condition.opened()
        condition.stood()
        condition.ended("broke", stood=True)
        condition.opened()
    assert [message.split(";")[0] for message in caplog.messages] == [
        "uplink up",
        "uplink lost (broke)",
        "uplink lost (broke, again soon after it came up",
        "uplink up after 5 failures",
        "uplink lost (broke)",
        "uplink up after 1 failure",
    ]
