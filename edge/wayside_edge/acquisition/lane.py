"""The lane of a bus: one thread that owns it and reads its sensors, the most overdue first."""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Final

from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.acquisition.grip import GivenUpError, Grip
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
        wake: called from the thread when there are outcomes to `take`, or when it has crashed.
        room: reads go on while it is set.
        prepare: done by the thread before anything else.
    """

    def __init__(
        self,
        name: str,
        courses: Sequence[Course],
        clock: Clock,
        wake: Callable[[], None],
        room: threading.Event,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.courses = list(courses)
        self.grip = Grip()
        """Held while a driver is at work."""
        self.crash: BaseException | None = None
        """Whatever ended the thread too early; a mistake, but not one of a driver that is an `Exception`."""
        self._prepare = prepare
        self._at: Course | None = None
        self._joining: deque[Course] = deque()
        self._clock = clock
        self._wake = wake
        self._room = room
        self._outcomes: deque[Outcome] = deque()
        self._readings = 0
        self._taken = 0
        self._oldest_ns: int | None = None
        self._slack_ns = SLACK_NS
        self._stopping = False
        self._nudged = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"lane {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to leave every chip idle and end; see `ended`."""
        self._stopping = True
        self._nudged.set()

    @property
    def at(self) -> str:
        """The sensor that it came to last."""
        return "" if self._at is None else self._at.name

    def join(self, course: Course) -> None:
        """Have it read one sensor more."""
        self._joining.append(course)
        self._nudged.set()

    def ended(self, timeout_s: float) -> bool:
        """Whether the thread has ended, within `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def take(self) -> list[Outcome]:
        """What there is since the last call, in order; for one thread that is not this lane's."""
        self._oldest_ns = None  # before the rest, so that an outcome that comes meanwhile is not forgotten
        taken = []
        while self._outcomes:
            taken.append(self._outcomes.popleft())
        self._taken += sum(len(outcome.readings) for outcome in taken)
        return taken

    def _work(self) -> None:
        try:
            self._run()
        except GivenUpError:
            # Others read the rest of the bus by now; what this driver holds, a line or a port, it may give back.
            if self._at is not None:
                self._at.leave_idle()
        except BaseException as error:  # noqa: BLE001 - whoever looks next deals with it
            self.crash = error
            self._wake()

    def _run(self) -> None:
        order = count()
        due: list[tuple[int, int, Course]] = []
        self._joining.extendleft(reversed(self.courses))
        self.courses.clear()
        self._admit(due, order)
        self._at = self.courses[0]
        self._driven(self._prepare)
        while not self._stopping:
            self._admit(due, order)
            due_ns, _, course = due[0]
            now_ns = self._clock.boottime_ns()
            if due_ns > now_ns:
                self._hand_over(now_ns, due_ns)
                self._pause(max(due_ns - now_ns, self._slack_ns))
            elif not self._may_read():
                self._hand_over(now_ns, now_ns + NS_PER_S)
                self._nudged.wait(HANDOVER_NS / NS_PER_S)
            else:
                self._advance(course, now_ns)
                heapq.heapreplace(due, (course.due_ns, next(order), course))
                self._hand_over(now_ns, now_ns)
        for course in self.courses:
            self._at = course
            rest = course.close()
            if rest.readings:
                self._outcomes.append(rest)

    def _admit(self, due: list[tuple[int, int, Course]], order: Iterator[int]) -> None:
        """Take in who has joined."""
        if self._nudged.is_set() and not self._stopping:
            self._nudged.clear()  # before looking, so that nobody who joins or stops meanwhile is forgotten
            if self._stopping:
                self._nudged.set()
        while self._joining:
            course = self._joining.popleft()
            course.grip = self.grip
            self.courses.append(course)
            self._slack_ns = min(self._slack_ns, course.interval_ns // 10)
            heapq.heappush(due, (course.due_ns, next(order), course))

    def _driven(self, function: Callable[[], None]) -> None:
        course = self.courses[0]
        self.grip.take(course.name, course.deadline_s, self._clock.boottime_ns())
        try:
            function()
        finally:
            self.grip.let_go()

    def _pause(self, pause_ns: int) -> None:
        """Wait, but not long after a stop. A plain sleep takes a fifth of the processor time of a wait for an event."""
        if pause_ns <= HANDOVER_NS:
            time.sleep(pause_ns / NS_PER_S)
        else:
            self._nudged.wait(pause_ns / NS_PER_S)

    def _may_read(self) -> bool:
        return self._room.is_set() and self._readings - self._taken < BACKLOG

    def _advance(self, course: Course, now_ns: int) -> None:
        self._at = course
        outcome = course.advance()
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
