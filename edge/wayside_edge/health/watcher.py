"""The thread that looks after the agent: it feeds the watchdogs while all that matters lives, and ends what hangs.

Nothing here may wait for the event loop, for a log handler or for the disk: each may be what hangs.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from wayside_edge.hal.watchdog import HardwareWatchdog, WatchdogError
from wayside_edge.health.causes import RunRecord
from wayside_edge.health.events import AgentBack, AgentHung, Journal, WatchdogAway, WatchdogHeld
from wayside_edge.health.settings import WatchdogSettings
from wayside_edge.health.supervisor import Look, Supervisor
from wayside_edge.health.systemd import ServiceManager

EXIT_HUNG: Final = 70
"""EX_SOFTWARE of sysexits.h: the agent ended itself because it could not heal."""
GRACE_S: Final = 3.0
"""From the stacks to the end: what only was slow has come back by then, and the disk has the record of it."""
INIT: Final = 1
USUAL_DEVICE: Final = Path("/dev/watchdog")
RESTARTS: Final = 3
"""Runs in a row that hung and ended themselves; if the next hangs too, the board is reset, where its watchdog is ours:
what outlives the process (a driver of the kernel, a bus) may be what hangs."""
FEEDS: Final = 4.0
"""Times that the hardware is fed within its timeout: three may be late."""
LOOKS: Final = 4.0
"""Looks within the shortest deadline: the supervisor counts two at once at most."""
ARM_LOOKS: Final = 3.0
"""Looks from which to which the dump of a thread that never runs again is put off: each takes the kernel a thread."""
STATUS_S: Final = 30.0
"""How often the service manager hears how the agent does, when it does not ask for signs of life."""


class Watcher:
    """Looks after one agent. Building it does nothing.

    Args:
        settings: `[watchdog]`.
        supervisor: knows the pulses; this is what makes it look.
        record: takes note of what hangs.
        journal: takes the events.
        account: one line that says how the agent does, for people; called in the event loop.
        manager: who started this process.
        leave: ends the process at once.
    """

    def __init__(
        self,
        settings: WatchdogSettings,
        supervisor: Supervisor,
        record: RunRecord,
        journal: Journal,
        account: Callable[[], str],
        *,
        manager: ServiceManager | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._record = record
        self._journal = journal
        self._account = account
        self._manager = manager or ServiceManager()
        self._leave = leave
        watched_s = self._manager.watchdog_s
        stall_s = settings.stall_s if watched_s is None else min(settings.stall_s, watched_s / 2.0)
        self._loop_pulse = supervisor.watch("the event loop", stall_s, critical=True)
        self._stall_s = stall_s
        self._device: HardwareWatchdog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False
        self._ready = False
        self._said = ""
        self._status = ""
        self._fed_s = 0.0
        self._down_s: float | None = None
        self._armed_s = 0.0
        self._dumped = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin, in the event loop that is to be watched."""
        self._loop = asyncio.get_running_loop()
        self._open_device()
        device_s = self._device.timeout_s if self._device is not None else 0
        watched_s = self._manager.watchdog_s
        limits = [self._supervisor.look_s, self._stall_s / LOOKS]
        limits += [watched_s / 2.0] if watched_s is not None else []
        limits += [device_s / FEEDS] if device_s else []
        self._supervisor.look_s = min(limits)
        self._thread.start()

    def stopping(self) -> None:
        """The agent has been asked to end; it is watched until it has."""
        self._manager.tell("STOPPING=1", "STATUS=delivering what is left")

    def stop(self, *, disarm: bool) -> None:
        """The event loop has ended. Hardware that is not disarmed resets the board unless the next agent feeds it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._armed_s:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()
        if self._device is not None:
            self._device.close(disarm=disarm)

    def reset_causes(self) -> list[str]:
        """What the watchdog, if it is held here, says of the last reset."""
        return list(self._device.reset_causes()) if self._device is not None else []

    def _open_device(self) -> None:
        wanted = self._settings.device
        automatic = wanted == "auto"
        if wanted == "off" or (automatic and (self._manager.watchdog_s is not None or os.getppid() > INIT)):
            return
        device = HardwareWatchdog(USUAL_DEVICE if automatic else Path(wanted))
        try:
            device.open(self._settings.timeout_s)
        except WatchdogError as error:
            if not (automatic and error.absent):
                self._journal.emit(WatchdogAway(str(error)))
            return
        self._device = device
        self._journal.emit(WatchdogHeld(str(device.path), device.timeout_s))

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._round(time.monotonic())
            self._stopping.wait(self._supervisor.look_s)

    def _round(self, now_s: float) -> None:
        self._ask_loop()
        look = self._supervisor.look(now_s)
        for pulse in look.overdue:
            if not pulse.critical:
                self._tell_loop(pulse.alarm)
        if look.alive:
            self._feed(now_s)
            self._arm_dump(now_s)
            if self._down_s is not None:
                self._down_s = None
                self._aside(self._come_back)
        elif self._down_s is None:
            self._down_s = now_s
            faulthandler.cancel_dump_traceback_later()
            self._aside(partial(self._last_words, look))
        elif now_s - self._down_s >= GRACE_S and not self._wants_reset(now_s):
            self._leave(EXIT_HUNG)

    def _ask_loop(self) -> None:
        if not self._asked:
            self._asked = True
            self._tell_loop(self._answer)

    def _answer(self) -> None:
        """In the event loop: it lives."""
        self._asked = False
        self._loop_pulse.beat()
        self._status = self._account()
        if not self._ready:
            self._ready = True
            self._said = self._status
            self._manager.tell("READY=1", f"STATUS={self._status}")

    def _tell_loop(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # it has ended: the process is about to
            self._loop.call_soon_threadsafe(callback)

    def _feed(self, now_s: float) -> None:
        if self._device is not None and self._device.held:
            self._device.feed()
            if not self._device.held:
                gone = WatchdogAway(f"watchdog {self._device.path} takes no more signs of life; is it still there?")
                self._aside(partial(self._journal.emit, gone))
        watched_s = self._manager.watchdog_s
        interval_s = STATUS_S if watched_s is None else watched_s / 2.0
        if not self._ready or now_s - self._fed_s <= interval_s - self._supervisor.look_s:
            return
        self._fed_s = now_s
        lines = ["WATCHDOG=1"] if watched_s is not None else []
        if self._status != self._said:
            self._said = self._status
            lines.append(f"STATUS={self._status}")
        if lines:
            self._manager.tell(*lines)

    def _arm_dump(self, now_s: float) -> None:
        """Have the stacks written even if this thread never runs again, because an extension holds the interpreter, or
        because systemd aborts the process."""
        stacks = self._record.stacks
        if stacks is None or now_s - self._armed_s < ARM_LOOKS * self._supervisor.look_s:
            return
        if not self._armed_s:
            faulthandler.enable(file=stacks, all_threads=True)
        elif not self._dumped and os.fstat(stacks.fileno()).st_size:
            stacks.truncate(0)  # the whole process was stopped, and goes on
            stacks.seek(0)
        self._armed_s = now_s
        faulthandler.dump_traceback_later(self._stall_s + 2.0 * ARM_LOOKS * self._supervisor.look_s, file=stacks)

    def _last_words(self, look: Look) -> None:
        """Leave what somebody needs to find the mistake. Each step may wait for ever; the end does not wait for it."""
        stacks = self._record.stacks
        where = str(self._record.stacks_path) if stacks is not None else "the standard error"
        self._dumped = True
        if stacks is not None:
            stacks.write(f"{look.cause}\n".encode(errors="replace"))
        faulthandler.dump_traceback(stacks if stacks is not None else sys.__stderr__ or 2, all_threads=True)
        self._record.hung(look.cause)
        self._journal.emit(AgentHung(look.cause, where))

    def _come_back(self) -> None:
        self._record.back()
        self._journal.emit(AgentBack())

    def _aside(self, work: Callable[[], None]) -> None:
        """Do `work`, which may hang, beside this thread."""
        threading.Thread(target=work, name="last words", daemon=True).start()

    def _wants_reset(self, now_s: float) -> bool:
        """Whether to wait for the hardware to reset the board; not for ever, should it not do that."""
        device = self._device
        if device is None or not device.held or self._record.hangs <= RESTARTS or self._down_s is None:
            return False
        return now_s - self._down_s < 2.0 * max(device.timeout_s, 1)
