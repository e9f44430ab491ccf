"""What stages keep over a restart of the agent: a small file each, beside the outbox."""

import hashlib
import logging
import os
from pathlib import Path
from typing import Final

from wayside_edge.compute.settings import OnSwap, StageSettings
from wayside_shared.stage_worker import MAX_STATE_BYTES

log = logging.getLogger(__name__)

_DIGEST: Final = hashlib.sha256().digest_size


class StateStore:
    """The folder of the stages' states, and of what their modules were compiled to.

    Args:
        folder: made when it is needed, mode 0700.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def cache(self) -> Path:
        """Folder for compiled modules."""
        return self._folder / "compiled"

    def prepare(self) -> None:
        """Make the folders, for this agent alone; where that cannot be, modules are compiled anew at each start."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.cache.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            log.warning("what stages keep has no place: %s", error)

    def load(self, settings: StageSettings) -> bytes:
        """The state of a stage: empty when there is none, when it is damaged, or when it is another file's and
        `on_swap` does not keep it."""
        try:
            data = self._file(settings).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            log.warning("the state of stage %s cannot be read: %s; it begins anew", settings.name, error)
            return b""
        digest, of_file, state = data[:_DIGEST], data[_DIGEST : 2 * _DIGEST], data[2 * _DIGEST :]
        if hashlib.sha256(of_file + state).digest() != digest or len(state) > MAX_STATE_BYTES:
            log.warning("the state of stage %s is damaged; it begins anew", settings.name)
            return b""
        if of_file != bytes.fromhex(settings.sha256) and settings.on_swap is OnSwap.RESET:
            return b""
        return state

    def save(self, settings: StageSettings, state: bytes) -> None:
        """Keep `state`, or what was kept before when the disk does not take it."""
        content = bytes.fromhex(settings.sha256) + state
        path = self._file(settings)
        half = path.with_suffix(".new")
        self.prepare()
        try:
            with half.open("wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
        except OSError as error:
            log.warning("the state of stage %s cannot be kept: %s", settings.name, error)

    def _file(self, settings: StageSettings) -> Path:
        # Names may hold slashes and colons.
        return self._folder / f"{hashlib.sha256(settings.name.encode()).hexdigest()[:32]}.state"
