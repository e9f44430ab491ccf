"""One demo from start to proof."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wayside_firmware.demo.agents import BOARD, HOST, configuration
from wayside_firmware.demo.api import Api
from wayside_firmware.demo.children import Child, output_of, python
from wayside_firmware.demo.live import Watch
from wayside_firmware.demo.place import Place, free_ports
from wayside_firmware.demo.proof import DeviceProof, prove, summary
from wayside_firmware.demo.screen import Screen
from wayside_shared.errors import ConfigError, TransientError

DEVICES = [BOARD, HOST]
READY_TIMEOUT_S = 90.0
"""A small board takes this long to make a database on its card."""
SETTLE_TIMEOUT_S = 5.0
"""After the agents have ended: their last acknowledged batch is committed already, its account is soon read."""
READY_POLL_S = 0.1
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a demo came to.

    Args:
        figures: the JSON object of the last line.
        account: the account in one line.
        faults: a sentence for each promise that was broken; none when all is well.
    """

    figures: dict[str, Any]
    account: str
    faults: list[str]


@dataclass
class _Demo:
    place: Place
    screen: Screen
    broker_port: int
    api_port: int

    @property
    def folder(self) -> Path:
        return self.place.path

    @property
    def home(self) -> Path:
        return self.folder / "server"

    @property
    def ca_file(self) -> Path:
        return self.home / "tls" / "ca.pem"

    def child(self, name: str, log: str, command: list[str]) -> Child:
        return Child(name, command, self.folder / "log" / f"{log}.log", self.screen.say, self.place.lock)

    async def server(self, *words: str) -> str:
        return await output_of(python("wayside_server", *words, "--home", str(self.home)))


async def demonstrate(place: Place, screen: Screen, seconds: float | None) -> Outcome:
    """Run the whole system in `place`, for `seconds` or until a signal, then prove its account.

    Raises:
        ConfigError: something is missing or wrong; one line that names the fix.
        TransientError: a part failed to start or to answer; trying again may help.
        asyncio.CancelledError: a signal came before there was anything to prove, or a second one later.
    """
    enough = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None
    measuring = [False]

    def told_to_stop() -> None:
        if measuring[0] and not enough.is_set():
            enough.set()
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop)
    mosquitto = _find_mosquitto()
    (place.path / "log").mkdir()
    demo = _Demo(place, screen, *free_ports(2))
    screen.say(f"Wayside demo in {place.path}")
    try:
        async with screen.ticking(), _installation(demo, mosquitto) as servers:
            demo.screen.doing("devices enrol")
            # Each is a program that takes most of a second to load: side by side they take half.
            async with asyncio.TaskGroup() as tasks:
                making = tasks.create_task(demo.server("api-key", "create", "wayside demo"))
                for device in DEVICES:
                    tasks.create_task(_enrol(demo, device))
            demo.screen.done(f"devices enrolled: {', '.join(DEVICES)}")
            api = Api(demo.api_port, demo.ca_file, making.result())
            async with _agents(demo) as agents:
                first_s = await _first_sample(demo, api)
                for child in (*servers, *agents):
                    child.forgiven = True
                await _tell(demo, api)
                measuring[0] = True
                await _watch(demo, api, enough, seconds)
                screen.doing("agents deliver what they hold")
                async with asyncio.TaskGroup() as tasks:
                    for agent in agents:
                        tasks.create_task(agent.stop())
            screen.doing("exports are compared with the database")
            proofs = await _proofs(api)
            screen.done("agents ended, exports compared with the database")
    except BaseExceptionGroup as group:
        raise _plainest(group) from group
    figures = {
        **summary(proofs),
        "console": api.base,
        "first_sample_s": round(first_s, 2),
        "seconds": round(screen.elapsed_s, 2),
    }
    return Outcome(figures, _account(figures), [fault for proof in proofs for fault in proof.faults()])


def _find_mosquitto() -> str:
    # Debian puts it where only root's PATH leads.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise ConfigError("mosquitto, the MQTT broker, is missing; type: sudo apt-get install mosquitto")
    return found


@asynccontextmanager
async def _running(*children: Child) -> AsyncIterator[None]:
    """Keeps `children` running inside the block; at its end the last is stopped first."""
    async with asyncio.TaskGroup() as tasks:
        for child in children:
            tasks.create_task(child.keep())
        async with AsyncExitStack() as stack:
            for child in children:
                stack.push_async_callback(child.stop)
            yield


@asynccontextmanager
async def _installation(demo: _Demo, mosquitto: str) -> AsyncIterator[list[Child]]:
    """Broker and server, ready to be asked."""
    demo.screen.doing("certificate authority, broker configuration")
    ports = ["--broker-port", str(demo.broker_port), "--api-port", str(demo.api_port)]
    await demo.server("init", "--host", "localhost", "--listen", "127.0.0.1", *ports)
    demo.screen.done("certificate authority made, broker configured")
    broker = demo.child("the broker", "broker", [mosquitto, "-c", str(demo.home / "broker" / "mosquitto.conf")])
    command = python("wayside_server", "run", "--supervised", "--home", str(demo.home))
    server = demo.child("the server", "server", command)
    async with _running(broker, server):
        demo.screen.doing("broker, PostgreSQL, ingest, API and console")
        await _ready(Api(demo.api_port, demo.ca_file))
        demo.screen.done("broker, PostgreSQL, ingest, API and console are up")
        yield [broker, server]


async def _ready(api: Api) -> None:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while True:
                with suppress(TransientError):
                    await asyncio.to_thread(api.get, "/readyz")
                    return
                await asyncio.sleep(READY_POLL_S)
    except TimeoutError as error:
        raise TransientError(f"the server was not ready within {READY_TIMEOUT_S:g} s; the machine is busy") from error


@asynccontextmanager
async def _agents(demo: _Demo) -> AsyncIterator[list[Child]]:
    """Both agents, which are enrolled."""
    agents = [
        demo.child(
            f"the agent of {device}",
            device,
            python("wayside_edge", "run", "--config", str(demo.folder / device / "edge.toml")),
        )
        for device in DEVICES
    ]
    async with _running(*agents):
        yield agents


async def _enrol(demo: _Demo, device: str) -> None:
    folder = demo.folder / device
    folder.mkdir(mode=0o700)
    config = folder / "edge.toml"
    config.write_text(configuration(device, folder))
    token = await demo.server("token", "create", "--name", device)
    words = ["enroll", f"https://localhost:{demo.api_port}", token, "--config", str(config), "--dir", str(folder)]
    await output_of(python("wayside_edge", *words))


async def _first_sample(demo: _Demo, api: Api) -> float:
    """Seconds from the start of the command until the first sample was seen in the database."""
    demo.screen.doing("first samples")
    watch = Watch(api, DEVICES)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not (await asyncio.to_thread(watch.look)).stored:  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(READY_POLL_S)
    except TimeoutError as error:
        raise TransientError(
            f"no sample was stored within {READY_TIMEOUT_S:g} s; look into {demo.folder}/log"
        ) from error
    first_s = demo.screen.elapsed_s
    demo.screen.done("first sample committed")
    return first_s


async def _tell(demo: _Demo, api: Api) -> None:
    link = await demo.server("login-link", "--new-administrator", "demo")
    export = f"{api.base}/api/v1/devices/{BOARD}/telemetry/export?format=csv"
    demo.screen.say(f"""
Console   {link}
          Good once, for ten minutes. The certificate is from the demo's own authority: accept the browser's
          warning, or trust {demo.ca_file}
          For another link: {_again(demo)}
          The API takes the key {api.key}
API       {api.base}/docs
Export    curl --cacert {demo.ca_file} -H 'Authorization: Bearer {api.key}' '{export}'
""")


def _again(demo: _Demo) -> str:
    """What to type for another link, as it is: from any folder, without an activated environment."""
    script = Path(sys.executable).with_name("wayside-server")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "wayside_server"]
    return shlex.join([*program, "login-link", "--home", str(demo.home)])


async def _watch(demo: _Demo, api: Api, enough: asyncio.Event, seconds: float | None) -> None:
    """Shows the account until it is enough."""
    demo.screen.say(f"Ends by itself after {seconds:g} s." if seconds is not None else "Ctrl-C ends it.")
    watch = Watch(api, DEVICES)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not enough.is_set():
                try:
                    demo.screen.account((await asyncio.to_thread(watch.look)).line())
                except TransientError as error:
                    demo.screen.account(str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await enough.wait()


async def _proofs(api: Api) -> list[DeviceProof]:
    """The proofs, as soon as nothing is on its way; what still is after SETTLE_TIMEOUT_S is a fault in them."""
    watch = Watch(api, DEVICES)
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while (await asyncio.to_thread(watch.look)).pending:  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(READY_POLL_S)
    return [await asyncio.to_thread(prove, api, device) for device in DEVICES]


def _account(figures: dict[str, Any]) -> str:
    words = ("accepted", "stored", "dropped", "missing", "duplicates")
    return ", ".join(f"{word} {figures[word]:,}" for word in words)


def _plainest(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that says what a person must do, of those that came together."""
    for kind in (ConfigError, TransientError):
        found = group.subgroup(kind)
        if found is not None:
            return _first(found)
    return group


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
