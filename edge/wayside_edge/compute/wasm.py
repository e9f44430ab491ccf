"""The process of a stage that is a WebAssembly module: `python -m wayside_edge.compute.wasm`.

It speaks `wayside_shared.stage_worker` over its standard input and output, and runs modules of the interface
`wayside_shared.module_abi`.
"""

import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from wasmtime import Engine, Module

from wayside_edge.compute.engine import Ticker, compiled, make_engine, read_module
from wayside_edge.compute.guest import Guest, check_memory
from wayside_edge.compute.sandbox import address_space_bytes, confine
from wayside_edge.compute.serving import StageError, serve
from wayside_shared.cbor import dumps, loads_map
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import check_series_name
from wayside_shared.module_abi import (
    ABI,
    ABI_VERSION,
    CONFIGURE,
    HOST_SETTINGS,
    PROCESS,
    RESTORE,
    SAVE,
    place,
    settings_text,
)
from wayside_shared.stage_block import HEADER, MAX_BLOCK_SERIES, MAX_TEXT_BYTES, READING, SERIES, decode_block
from wayside_shared.stage_worker import MAX_EVENTS, MAX_STATE_BYTES, Done, Failure, Limits, Load, Process
from wayside_shared.units import check_unit

BOOT: Final = "boot"
CLOCKS: Final = (BOOT, "utc")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
WORKING_BYTES: Final = 168 * 1024 * 1024
"""Address space beside what it has once loaded and the memories of the instances: stacks and heaps of two threads."""
STATE_OVERHEAD_BYTES: Final = 128
"""Of `MAX_STATE_BYTES`, for what stands around the states of the instances."""


class WasmStage:
    """A module with an instance for each clock that blocks come from. Building it confines this process.

    Args:
        load: what to run.

    Raises:
        StageError: it cannot be run.
    """

    def __init__(self, load: Load) -> None:
        data = read_module(load)
        self._warnings: list[str] = []
        self._load = load
        self._engine: Engine = make_engine()
        ticker = Ticker(self._engine, load.limits.deadline_ms)
        self._ticks = ticker.ticks
        self._module: Module = compiled(self._engine, load, data, self._warnings.append)
        check_memory(self._module, load.limits)
        self._boot = BOOT_ID.read_text().strip()
        self._states = _states(load.state)
        # A memory that grows moves: for a moment it is there twice.
        memories = 2 * len(CLOCKS) * load.limits.memory_bytes
        for said in confine(address_space_bytes() + memories + WORKING_BYTES):
            self._warnings.append(f"not confined by {said}")
        # Not before: Landlock holds for the threads that come after it.
        ticker.start()
        self._guests: dict[str, Guest] = {}

    def loaded(self) -> Done:
        """Begin the instance of the first clock, so that a module that cannot work fails here."""
        guest = self._begun(BOOT)
        self._save(BOOT, guest)
        guest.release()
        answer = self._done(guest, b"")
        warnings = [(logging.WARNING, line) for line in self._warnings]
        return replace(answer, log=(*warnings, *answer.log)[:MAX_EVENTS])

    def process(self, work: Process) -> Done:
        """Give the module a block."""
        if work.clock not in CLOCKS:
            raise StageError(Failure.REFUSED, f"a block of the clock {work.clock!r}; there are {', '.join(CLOCKS)}")
        guest = self._guests.get(work.clock)
        if guest is None:
            guest = self._begun(work.clock)
        else:
            guest.begin()
        result = guest.hand_over(PROCESS, work.block)
        if result < 0:
            raise StageError(Failure.REFUSED, f"{PROCESS.name} returned {result}{guest.said.last_error}")
        block = b"" if result == 0 else self._taken(guest, result)
        self._save(work.clock, guest)
        guest.release()
        return self._done(guest, block)

    def _taken(self, guest: Guest, result: int) -> bytes:
        """The block that it gave, if the agent can use it."""
        limits = self._load.limits
        block = guest.take(*place(result), _most_bytes(limits))
        try:
            for name, unit in decode_block(block, max_readings=limits.output_readings).series:
                _check_names(name, unit)
        except RejectedError as error:
            raise StageError(Failure.OUTPUT, error.detail) from error
        return block

    def _begun(self, clock: str) -> Guest:
        guest = Guest(self._engine, self._module, self._load.limits, self._ticks)
        self._guests[clock] = guest
        version = guest.call(ABI)
        if version != ABI_VERSION:
            raise StageError(Failure.ABI, f"it is written for version {version} of the interface, not {ABI_VERSION}")
        self._configure(guest, clock)
        state = self._states.get(clock)
        if state is not None and guest.has(RESTORE):
            result = guest.hand_over(RESTORE, state)
            if result != 0:
                why = f"{RESTORE.name} returned {result}{guest.said.last_error}"
                raise StageError(Failure.REFUSED, f"it cannot go on from what was kept: {why}")
        return guest

    def _configure(self, guest: Guest, clock: str) -> None:
        settings = self._load.settings
        if not guest.has(CONFIGURE):
            if settings:
                raise StageError(
                    Failure.REFUSED, f"the module has no settings, but is given {', '.join(sorted(settings))}"
                )
            return
        reserved = sorted(name for name in settings if name.startswith(HOST_SETTINGS))
        if reserved:
            raise StageError(Failure.REFUSED, f"settings that begin with {HOST_SETTINGS} are the agent's: {reserved}")
        try:
            text = settings_text({**settings, **self._host_settings(clock)})
        except ValueError as error:
            raise StageError(Failure.REFUSED, str(error)) from error
        result = guest.hand_over(CONFIGURE, text)
        if result != 0:
            raise StageError(Failure.REFUSED, f"{CONFIGURE.name} returned {result}{guest.said.last_error}")

    def _host_settings(self, clock: str) -> Mapping[str, str | bool]:
        rebooted = clock == BOOT and clock in self._states and self._states.get("boot_id") != self._boot.encode()
        return {
            f"{HOST_SETTINGS}clock": clock,
            f"{HOST_SETTINGS}inputs": ",".join(self._load.inputs),
            f"{HOST_SETTINGS}rebooted": rebooted,
        }

    def _save(self, clock: str, guest: Guest) -> None:
        if not guest.has(SAVE):
            return
        result = guest.call(SAVE)
        if result < 0:
            raise StageError(Failure.REFUSED, f"{SAVE.name} returned {result}{guest.said.last_error}")
        if result == 0:
            self._states.pop(clock, None)
            return
        others = sum(len(state) for name, state in self._states.items() if name in CLOCKS and name != clock)
        self._states[clock] = guest.take(*place(result), MAX_STATE_BYTES - STATE_OVERHEAD_BYTES - others)
        self._states["boot_id"] = self._boot.encode()

    def _done(self, guest: Guest, block: bytes) -> Done:
        said = guest.said
        return Done(
            block=block,
            state=dumps(self._states) if self._states else None,
            events=tuple(said.events),
            log=tuple(said.log),
            used_us=round(guest.used_s * 1e6),
            fuel=guest.fuel,
            left_out=said.left_out,
        )


def _states(kept: bytes | None) -> dict[str, bytes]:
    """The states by clock, and the boot that they are of.

    Raises:
        StageError: what was kept is not from here.
    """
    if kept is None:
        return {}
    try:
        states = loads_map(kept)
    except RejectedError as error:
        raise StageError(Failure.REFUSED, f"what was kept is no state of a module: {error.detail}") from error
    if not all(name in (*CLOCKS, "boot_id") and isinstance(state, bytes) for name, state in states.items()):
        raise StageError(Failure.REFUSED, "what was kept is no state of a module")
    return {str(name): bytes(state) for name, state in states.items()}


def _most_bytes(limits: Limits) -> int:
    return HEADER.size + SERIES.size * MAX_BLOCK_SERIES + READING.size * limits.output_readings + MAX_TEXT_BYTES


@lru_cache(MAX_BLOCK_SERIES)
def _check_names(name: str, unit: str) -> None:
    check_series_name(name)
    check_unit(unit)


def main() -> int:
    """Serve the agent; returns the exit status."""
    # Ctrl-C reaches it too, when the agent has a terminal; the agent then ends it, when it has what it gave.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serve(WasmStage)


if __name__ == "__main__":
    sys.exit(main())
