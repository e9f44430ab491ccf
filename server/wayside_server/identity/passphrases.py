"""Passphrases: which ones are taken, and how they are kept and checked (argon2id, RFC 9106)."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from wayside_server.errors import ConfigError, ThrottledError

P = ParamSpec("P")
R = TypeVar("R")

MIN_LETTERS = 12
"""NIST SP 800-63B-4 section 3.1.1.2 asks for 15 where nothing else is asked, 8 beside a second factor."""
MAX_LETTERS = 200
MIN_DIFFERENT = 5
"""Below it lies what is one key held down, or a few in turn."""
AT_ONCE = 2
"""Each takes 64 MiB while it runs, so a flood of sign-ins takes no more than this many times that."""
MAX_WAITING = 32
"""At some 0.1 s each a sign-in waits two seconds at most; who comes later is told to come again."""
RETRY_AFTER_S = 2

COMMON = frozenset((Path(__file__).parent / "common_passphrases.txt").read_text("utf-8").split())
"""The commonest of published leaks that are long enough, and what names here suggest."""


def check_passphrase(text: str, name: str) -> None:
    """Refuses what would be guessed.

    Args:
        text: the passphrase.
        name: the account's name, which it must not be made of.

    Raises:
        ConfigError: it is too short, too long, too plain or among the commonest; the message says which.
    """
    normal = _normal(text)
    plain = normal.casefold()
    if not MIN_LETTERS <= len(normal) <= MAX_LETTERS:
        raise ConfigError(f"a passphrase has {MIN_LETTERS} to {MAX_LETTERS} letters; four or five words do well")
    if plain in COMMON or plain.rstrip("0123456789!.?$") in COMMON:
        raise ConfigError("this passphrase is among the commonest, which are tried first; take another")
    rest = plain.replace(name.casefold(), "") if len(name) > 2 else plain
    if len(set(plain)) < MIN_DIFFERENT or len(rest) < MIN_LETTERS // 2:
        raise ConfigError("this passphrase is a few letters in turn, or the account's name; take another")


class Passphrases:
    """Hashes and checks passphrases in threads of its own, few at a time.

    Args:
        time_cost: passes over the memory.
        memory_kib: memory of one, KiB.
        lanes: threads of one.

    The defaults are the second recommended option of RFC 9106 section 4.
    """

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65_536, lanes: int = 4) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=lanes)
        # A request that goes away leaves its thread running, so threads are bounded and not requests.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passphrase")
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, text: str) -> str:
        """What is kept of `text`.

        Raises:
            ThrottledError: too many wait already.
        """
        return await self._run(self._hasher.hash, _normal(text))

    async def verify(self, kept: str | None, text: str) -> bool:
        """Whether `text` is the passphrase of which `kept` is kept; as long with None, which none is.

        Raises:
            ThrottledError: too many wait already.
        """
        if self._nobody is None:
            self._nobody = await self.hash("nobody has this passphrase")
        good = await self._run(self._verify, kept or self._nobody, _normal(text[: MAX_LETTERS + 1]))
        return good and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether `kept` was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(kept)

    def _verify(self, kept: str, text: str) -> bool:
        try:
            return self._hasher.verify(kept, text)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self._waiting >= AT_ONCE + MAX_WAITING:
            raise ThrottledError("too many people sign in at this moment; try again", RETRY_AFTER_S)
        self._waiting += 1
        # Counted until the thread has ended, which a request that was given up does not see.
        future = self._threads.submit(work, *args, **kwargs)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._waiting -= 1


def _normal(text: str) -> str:
    """One way to write it: keyboards differ in how they compose letters (RFC 8265 section 4.2)."""
    return unicodedata.normalize("NFKC", text.encode("utf-8", "replace").decode())
