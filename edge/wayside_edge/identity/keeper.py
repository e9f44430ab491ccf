"""The shell around the renewal's decisions: it asks the server in a process of its own, swaps files, and tells.

Nothing here raises for a server, a disk or a certificate that is not well: the agent measures and delivers on, and
what is wrong is said once in the log, and in `wayside-edge status` for as long as it is so.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.asking import Ask, ask_worker
from wayside_edge.identity.settings import IdentitySettings
from wayside_edge.identity.store import Files, IdentityStore
from wayside_edge.ports import Clock, LinkState, Reading
from wayside_shared import renewal as core
from wayside_shared.clock import NS_PER_S
from wayside_shared.renewal import Life, Renewal

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""How late something that is due is noticed."""
WORK_S: Final = 240.0
"""Three connections of three steps of 30 s at the worst on a dead link, and a slow board's start of Python."""
STOOD_S: Final = 60.0
"""A session with a new certificate that lasted this long, with samples going over it, was a good one."""
DESCRIBE_S: Final = 60.0
"""To read one file, with a slow board's start of Python; the uplink may wait for it."""


class IdentityKeeper:
    """Keeps one device's certificate good. Building it connects nothing.

    Args:
        settings: `[identity]`.
        device: the device's name.
        files: of `[uplink]`.
        clock: says what time it is, and whether that is known.
        random: source of jitter.
        link: says how the link is.
        prove: asks for a new session, which tries what is to be proved.
        look_s: how often to see what is due, in seconds.
        stood_s: how long a session must last to be a good one, in seconds.
        ask: asks the worker.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        device: str,
        files: Files,
        clock: Clock,
        random: Random,
        *,
        link: Callable[[], LinkState],
        prove: Callable[[], None],
        look_s: float = LOOK_S,
        stood_s: float = STOOD_S,
        ask: Ask = ask_worker,
    ) -> None:
        self._settings = settings
        self._device = device
        self._files = files
        self._clock = clock
        self._random = random
        self._link = link
        self._prove = prove
        self._look_s = look_s
        self._stood_s = stood_s
        self._ask = ask
        self.token = settings.token()
        self._store: IdentityStore | None = None
        self._off = "" if settings.server else "no server under [identity]; enrol anew, or write it there"
        self._core: Renewal | None = None
        self._before: Life | None = None
        self._known: dict[Path, tuple[float, Life]] = {}
        self._said = ""
        self._swapping = False
        try:
            self._store = IdentityStore(files)
        except ConfigError as error:
            self._off = self._off or str(error)

    async def run(self, alive: Callable[[], None]) -> None:
        """Keep it good until cancelled.

        Args:
            alive: called at least every WORK_S and a little.
        """
        if self._off and self._settings.server:
            log.warning("the certificate is not renewed: %s", self._off)
        while True:
            alive()
            if not self._off and (self._core is None or await self._enrolled_anew(self._core)):
                await self._begin()
            if self._core is not None:
                await self._look(self._core)
            await asyncio.sleep(self._look_s)

    async def _enrolled_anew(self, state: Renewal) -> bool:
        """Whether a person has put another certificate in place of the one that is known."""
        assert self._store is not None
        if self._swapping or state.proving:
            return False
        return await self.life(self._store.present()) not in (None, state.life)

    async def _look(self, state: Renewal) -> None:
        await self.deal(core.Tick(self._clock.synced()))
        link = self._link()
        standing_s = (self._clock.boottime_ns() - link.since_ns) / NS_PER_S
        if link.connected and standing_s >= self._stood_s and state.keeps_old:
            await self.deal(core.Stood())

    def candidates(self) -> tuple[Files | None, Files, Files | None]:
        """See `Identities`."""
        if self._store is None:
            return None, self._files, None
        proving = self._core is not None and self._core.proving
        return (self._store.staged() if proving else None), self._store.present(), self._store.old()

    def now_s(self) -> float | None:
        """See `Identities`."""
        return self._clock.wall_ns() / NS_PER_S if self._clock.synced() else None

    async def life(self, files: Files) -> Life | None:
        """See `Identities`."""
        noted = None if self._store is None else self._store.life(files)
        if noted is not None:
            return noted
        try:
            changed = files.cert_file.stat().st_mtime
        except OSError:
            return None
        known = self._known.get(files.cert_file)
        if known is None or known[0] != changed:
            answer = await self._ask({"do": "describe", "cert_file": str(files.cert_file)}, DESCRIBE_S)
            if "life" not in answer:
                self._tell_off(answer["failed"])
                return None
            known = self._known[files.cert_file] = changed, Life(**answer["life"])
        return known[1]

    async def deal(self, event: core.Event) -> None:
        """Take in `event`, and do all that follows from it."""
        if self._core is None:
            return
        for effect in self._core.step(event, self._clock.wall_ns() / NS_PER_S):
            await self._perform(effect)

    def status(self) -> Mapping[str, Any]:
        """How the certificate is, for someone who asks at the board."""
        state = self._core
        if state is None:
            return {"renewal": self._off or "not begun"}
        return {
            "renewal": "on",
            "serial": f"{state.life.serial:x}",
            "ends_s": state.life.ends_s,
            "renews_s": state.next_renewal_s(),
            "proving": state.staged is not None,
            "trouble": state.trouble,
            "trouble_since_s": state.trouble_since_s if state.trouble else None,
            "failures": state.failures,
        }

    def measures(self) -> Iterator[Reading]:
        """See `MeasureSource`."""
        now_s = self.now_s()
        if self._core is not None and now_s is not None:
            yield Reading("certificate_left", self._core.life.ends_s - now_s, "s", decimals=0)
            yield Reading("certificate_failures", self._core.failures, "{count}")

    async def _begin(self) -> None:
        assert self._store is not None
        life = await self.life(self._store.present())
        if life is None:
            return
        staged, self._before = self._store.staged(), life
        self._core = Renewal(
            self._device,
            life,
            self._random,
            staged=None if staged is None else await self.life(staged),
            keeps_old=self._store.old() is not None,
        )
        self._said = ""

    def _tell_off(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            log.warning("the certificate cannot be looked after: %s; measuring and delivering go on", reason)

    async def _perform(self, effect: core.Effect) -> None:
        match effect:
            case core.Renew(expired):
                await self._answered(await self._work({"do": "renew", "expired": expired}))
            case core.Refresh():
                await self._answered(await self._work({"do": "refresh"}))
            case core.Prove():
                self._prove()
            case core.Trouble(reason):
                log.warning("the certificate is not renewed: %s; measuring and delivering go on, trying again", reason)
            case core.Recovered():
                log.info("the certificate's renewal is well again")
            case _:
                await self._swap(effect)

    async def _swap(self, effect: core.Effect) -> None:
        assert self._store is not None
        assert self._core is not None
        orders = {
            core.Promote: self._store.promote,
            core.RollBack: self._store.roll_back,
            core.DropOld: self._store.drop_old,
            core.Discard: self._store.discard,
        }
        before, self._swapping = self._before, True
        try:
            await asyncio.to_thread(orders[type(effect)])
        except TransientError as error:
            if isinstance(effect, core.Promote) and before is not None:
                await self.deal(core.Unkept(before, str(error)))
            else:
                self._tell_off(str(error))
            return
        finally:
            self._swapping = False
        if isinstance(effect, core.Promote):
            log.info("a new certificate is in use, serial %x", self._core.life.serial)
        self._before = self._core.life

    async def _answered(self, answer: Mapping[str, Any]) -> None:
        match answer:
            case {"issued": dict(life)}:
                assert self._core is not None
                self._before = self._core.life
                await self.deal(core.Issued(Life(**life)))
            case {"changed": bool(changed)}:
                assert self._core is not None
                self._before = self._core.life
                await self.deal(core.Refreshed(changed))
            case {"waiting": float() | int() as seconds}:
                await self.deal(core.Waiting(float(seconds)))
            case _:
                await self.deal(core.Failed(str(answer.get("failed", "the answer is not understood"))))

    async def _work(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        files, names = self._files, ("ca_file", "cert_file", "key_file")
        return await self._ask(
            {
                **question,
                "server": self._settings.server,
                "device": self._device,
                "rotate_key": self._settings.rotate_key,
                "token": None if self.token is None else self.token.values(),
                "files": {name: _text(getattr(files, name)) for name in names},
            },
            WORK_S,
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
