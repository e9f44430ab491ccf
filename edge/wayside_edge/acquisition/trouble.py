"""What becomes of a stage that fails: how long until the next try, and what is said of it."""

from collections import Counter
from typing import Final

from wayside_edge.compute.serving import StageError
from wayside_edge.health.events import Journal
from wayside_edge.health.stage_events import StageFailing, StageQuarantined, StageRecovered
from wayside_edge.pipeline.schedule import Backoff
from wayside_shared.stage_worker import Failure

QUARANTINE_AFTER: Final = 3
"""Failures in a row after which a stage is left alone for `QUARANTINE_S`, then twice as long, up to an hour."""
QUARANTINE_S: Final = 60.0
LONGEST_S: Final = 3600.0

NOT_BY_STATE: Final = (Failure.FILE, Failure.ABI)
"""Failures that no state brings about."""


class Trouble:
    """The failures of one stage since it last worked.

    Args:
        name: of the stage.
        journal: takes the events.
        pause: makes the pauses before it is quarantined.
        counts: of all its failures, by reason.
    """

    def __init__(self, name: str, journal: Journal, pause: Backoff, counts: Counter[str]) -> None:
        self.quarantined = ""
        """Why it is left alone for now; empty while it is not."""
        self.last: str | None = None
        """Why it failed last; None once it works again."""
        self._name = name
        self._journal = journal
        self._pause = pause
        self._long_pause = Backoff(lambda: 0.0, QUARANTINE_S, LONGEST_S)
        self._counts = counts
        self._said = ""

    def failed(self, error: StageError) -> float:
        """Note a failure; how long to wait before the next try, in seconds."""
        self._counts[error.failure.value] += 1
        self.last = str(error)
        if self._said != error.failure.value:
            self._said = error.failure.value
            self._journal.emit(StageFailing(self._name, str(error)))
        pause_s = self._pause.failed()
        if self._pause.failures < QUARANTINE_AFTER:
            return pause_s
        pause_s = self._long_pause.failed()
        self.quarantined = str(error)
        self._journal.emit(StageQuarantined(self._name, self._pause.failures, pause_s, str(error)))
        return pause_s

    def recovered(self) -> None:
        """Note that it works."""
        if self._pause.failures:
            self._journal.emit(StageRecovered(self._name, self._pause.failures))
        self._pause.succeeded()
        self._long_pause.succeeded()
        self.quarantined, self._said, self.last = "", "", None
