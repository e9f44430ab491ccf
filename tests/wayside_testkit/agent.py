"""The agent as people run it: a process with a configuration file, heard through what it logs."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from wayside_testkit.credentials import Credentials

DEADLINE_S = 40.0
_STAMP = re.compile(r"^\S+ \S+ ([A-Z]+) (.*)$")


class AgentProcess:
    """A running `wayside-edge run`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[tuple[str, str]] = []
        """(level, text) of each line so far; level is empty for what is no log line."""
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def says(self, text: str, times: int = 1) -> None:
        """Returns once `text` has stood in that many lines."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._more:
                await self._more.wait_for(lambda: self.count(text) >= times or self._process.returncode is not None)
        except TimeoutError:
            pass
        assert self.count(text) >= times, f"{text!r} is not in {self.lines}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def count(self, text: str) -> int:
        """Lines so far that hold `text`."""
        return sum(text in line for _, line in self.lines)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def troubles(self) -> list[str]:
        """Lines so far that are warnings or worse, or no log lines at all."""
        return [line for level, line in self.lines if level not in ("INFO", "DEBUG")]

    async def ended(self) -> int:
        """The exit status, once it has ended by itself and all was read."""
        async with asyncio.timeout(DEADLINE_S):
            status = await self._process.wait()
            await self._reading
        return status

    async def stop(self) -> int:
        """Stop it as a service manager would; returns the exit status."""
        if self._process.returncode is None:
            self._process.terminate()
        return await self.ended()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill it without a word."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while raw := await self._process.stderr.readline():
            line = raw.decode().rstrip()
            stamped = _STAMP.match(line)
            async with self._more:
                self.lines.append((stamped[1], stamped[2]) if stamped else ("", line))
                self._more.notify_all()
        await self._process.wait()
        async with self._more:
            self._more.notify_all()


def agent_config(folder: Path, port: int, who: Credentials, *, more: str = "", sensor: str | None = None) -> Path:
    """A configuration in `folder` for the device `who`, which reads this host unless `sensor` says otherwise.

    Args:
        folder: where file and outbox go.
        port: the broker's, on 127.0.0.1.
        who: device and files.
        more: further TOML tables.
        sensor: a whole `[[sensor]]` table.
    """
    file = folder / "edge.toml"
    file.write_text(
        f'[uplink]\nhost = "127.0.0.1"\nport = {port}\ndevice = "{who.name}"\nca_file = "{who.ca_file}"\n'
        f'cert_file = "{who.cert_file}"\nkey_file = "{who.key_file}"\ndrain_s = 0.2\nreconnect_s = 2.0\n'
        f"[batch]\nmax_age_s = 0.1\n{more}\n"
        + (sensor or '[[sensor]]\nname = "host"\nkind = "host"\ninterval_s = 0.1\n')
    )
    return file


def outbox_table(path: Path) -> str:
    """`[outbox]` for a small disk."""
    return f'[outbox]\npath = "{path}"\nfree_disk_floor_mb = 0\nballast_mb = 0\n'


TRUSTED = "[clock]\ntrust_system = true\n"


@asynccontextmanager
async def agent_process(
    config: Path, *, module: str = "wayside_edge", environment: Mapping[str, str] | None = None
) -> AsyncIterator[AgentProcess]:
    """`wayside-edge run` with `config` while the block runs.

    Args:
        config: its file.
        module: what is run in place of `wayside_edge`, with its arguments.
        environment: more variables of its environment.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "run", "--config", str(config)),
        env={**os.environ, **(environment or {})},
        stderr=asyncio.subprocess.PIPE,
    )
    agent = AgentProcess(process)
    try:
        yield agent
    finally:
        await agent.stop()
