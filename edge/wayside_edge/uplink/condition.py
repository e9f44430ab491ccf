"""What the log says of the link: one line when a state begins, one when it ends, however often it is tried."""

import logging

log = logging.getLogger(__name__)


class LinkCondition:
    """The link's state as a person sees it. A session that falls at once is trouble going on, not its end.

    Args:
        device: whose link it is.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._said: set[str] = set()
        self._failures = 0
        self._early_falls = 0

    def refused(self, reason: str) -> None:
        """No session came about."""
        self._failures += 1
        self._say("uplink down: %s; samples are kept, trying again", reason)

    def rejected(self, tries: int, reason: str) -> None:
        """The broker was reached so often in a row, and refused this device each time."""
        self._say(f"rejected: the broker has refused {self._device} {tries} times in a row: %s", reason)

    def opened(self) -> None:
        """There is a session."""
        if not self._early_falls:
            self._well()

    def stood(self) -> None:
        """The session has lasted long enough to be a good one."""
        if self._early_falls:
            self._well()

    def ended(self, reason: str, *, stood: bool) -> None:
        """The session is over; `stood` says whether it had been a good one."""
        self._failures += 1
        self._early_falls = 0 if stood else self._early_falls + 1
        if self._early_falls > 1:
            # Mosquitto 2.0 does not tell a client that its name was taken; two boards then end each other's sessions.
            reason = f"{reason}, again soon after it came up; does another board use the name {self._device}?"
        self._say("uplink lost (%s); samples are kept, connecting again", reason)

    def _well(self) -> None:
        plural = "" if self._failures == 1 else "s"
        log.info("uplink up%s", f" after {self._failures} failure{plural}" if self._failures else "")
        self._said.clear()
        self._failures = 0
        self._early_falls = 0

    def _say(self, line: str, reason: str) -> None:
        said = line % reason
        if said not in self._said:
            self._said.add(said)
            log.warning("%s", said)
