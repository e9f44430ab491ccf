"""The lane of a bus: one thread that owns it and reads its sensors, the most overdue first."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.ports import Clock
from wayside_shared.clock import NS_PER_MS, NS_PER_S

HANDOVER_NS: Final = 100 * NS_PER_MS
"""Outcomes wait this long for others before the event loop is woken, which then takes from all lanes: a sample that
waits for its batch for a second does not notice."""

SLACK_NS: Final = NS_PER_MS
"""A lane that has just worked rests at least this long, so that what falls due meanwhile is done in one go; less when a
sensor is read faster than a hundred times a second."""

BACKLOG: Final = 20_000
"""Readings handed over and not taken yet at which a lane holds: the event loop is busy, or the outbox is behind."""


class Lane:
    """A thread and the sensors on its bus.

    Args:
        name: of the bus; of the thread too.
        courses: the sensors.
        clock: this machine's.
        wake: called from the thread when there are outcomes to `take`.
        room: reads go on while it is set.
    """

    def __init__(
        self,
        name: str,
        courses: Sequence[Course],
        clock: Clock,
        wake: Callable[[], None],
        room: threading.Event,
    ) -> None:
        self.name = name
        self.courses = courses
        self.busy: tuple[str, int] | None = None
        """The sensor whose step is under way, and the boot time at which it began."""
        self._clock = clock
        self._wake = wake
        self._room = room
        self._outcomes: deque[Outcome] = deque()
        self._readings = 0
        self._taken = 0
        self._oldest_ns: int | None = None
        self._slack_ns = min(SLACK_NS, min(course.interval_ns for course in courses) // 10)
        self._stopping = threading.Event()
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"lane {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to leave every chip idle and end; see `ended`."""
        self._stopping.set()

    def ended(self, timeout_s: float) -> bool:
        """Whether the thread has ended, within `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def take(self) -> list[Outcome]:
        """What there is since the last call, in order; for one thread that is not this lane's.

        Raises:
            BaseException: whatever ended the thread too early; a mistake in a driver.
        """
        if self._crash is not None:
            raise self._crash
        self._oldest_ns = None  # before the rest, so that an outcome that comes meanwhile is not forgotten
        taken = []
        while self._outcomes:
            taken.append(self._outcomes.popleft())
        self._taken += sum(len(outcome.readings) for outcome in taken)
        return taken

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - whoever takes next raises it
            self._crash = error
            self._wake()

    def _run(self) -> None:
        order = count()
        due = [(course.due_ns, next(order), course) for course in self.courses]
        heapq.heapify(due)
        while not self._stopping.is_set():
            due_ns, _, course = due[0]
            now_ns = self._clock.boottime_ns()
            if due_ns > now_ns:
                self._hand_over(now_ns, due_ns)
                self._pause(max(due_ns - now_ns, self._slack_ns))
            elif not self._may_read():
                self._hand_over(now_ns, now_ns + NS_PER_S)
                self._stopping.wait(HANDOVER_NS / NS_PER_S)
            else:
                self._advance(course, now_ns)
                heapq.heapreplace(due, (course.due_ns, next(order), course))
                self._hand_over(now_ns, now_ns)
        for course in self.courses:
            self.busy = (course.name, self._clock.boottime_ns())
            rest = course.close()
            if rest.readings:
                self._outcomes.append(rest)
        self.busy = None

    def _pause(self, pause_ns: int) -> None:
        """Wait, but not long after a stop. A plain sleep takes a fifth of the processor time of a wait for an event."""
        if pause_ns <= HANDOVER_NS:
            time.sleep(pause_ns / NS_PER_S)
        else:
            self._stopping.wait(pause_ns / NS_PER_S)

    def _may_read(self) -> bool:
        return self._room.is_set() and self._readings - self._taken < BACKLOG

    def _advance(self, course: Course, now_ns: int) -> None:
        self.busy = (course.name, now_ns)
        outcome = course.advance()
        self.busy = None
        if outcome is not None:
            self._outcomes.append(outcome)
            self._readings += len(outcome.readings)
            if self._oldest_ns is None:
                self._oldest_ns = now_ns

    def _hand_over(self, now_ns: int, next_ns: int) -> None:
        """Wake the taker when an outcome would wait too long until the step at `next_ns`."""
        oldest_ns = self._oldest_ns  # looked at once: the taker sets it to None in between
        if oldest_ns is not None and max(now_ns, next_ns) - oldest_ns >= HANDOVER_NS:
            self._oldest_ns = None
            self._wake()
