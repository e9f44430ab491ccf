"""What a device asks of any server by EST (RFC 7030), with the agent's own code.

Another server joins by a fixture of its own beside `fake`, named in `SERVERS`.
"""

import asyncio
import io
import re
import stat
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from wayside_edge.__main__ import main
from wayside_edge.config import load
from wayside_edge.enrol import Waiting, enrol
from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity import est
from wayside_edge.identity.keys import FileKey, certificate_request
from wayside_edge.identity.store import Files, IdentityStore
from wayside_edge.identity.token import present_files
from wayside_edge.identity.worker import Job, refresh, renew
from wayside_shared.enrolment import claim_code
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.enrolment import OPERATOR
from wayside_testkit.est_server import EstServer, FakeEst, serving_est
from wayside_testkit.site import Site, open_site

SERVERS = ["fake", "real"]


@pytest.fixture
def fake(credentials: CredentialsFactory) -> Iterator[EstServer]:
    with serving_est(FakeEst(credentials)) as served:
        yield served


class RealEst:
    """The api role on a database, asked from the thread of the test."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._site = site
        self._loop = loop

    @property
    def url(self) -> str:
        return self._site.url

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def token(self, device: str) -> str:
        return str(self._do(self._site.token(device)))

    def claim(self, code: str, device: str) -> None:
        self._do(self._site.office.claims.claim(code, None, device, OPERATOR))

    def refuse(self, code: str) -> None:
        del code  # the only one that waits
        (entry,) = self._do(self._site.office.claims.listed(OPERATOR, limit=5))
        self._do(self._site.office.claims.refuse(entry.entry_id, OPERATOR))

    def approve_renewal(self, device: str) -> None:
        del device
        (entry,) = self._do(self._site.office.claims.listed(OPERATOR, limit=5))
        self._do(self._site.office.claims.approve(entry.entry_id, OPERATOR))

    def revoke(self, device: str) -> None:
        del device
        self._site.execute("UPDATE enrolment_token SET device_id = NULL; DELETE FROM certificate; DELETE FROM device")


@pytest.fixture
def real(tmp_path: Path, database: str) -> Iterator[EstServer]:
    began: Queue[tuple[Site, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def serve() -> None:
        ended = asyncio.Event()
        async with open_site(tmp_path / "home", database) as site:
            began.put((site, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    site, loop, ended = began.get(timeout=60)
    yield RealEst(site, loop)
    loop.call_soon_threadsafe(ended.set)
    thread.join()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> EstServer:
    served: EstServer = request.getfixturevalue(request.param)
    return served


class Board:
    """One device's folder, and who types codes for it."""

    def __init__(self, folder: Path, server: EstServer) -> None:
        self.config, self.folder, self.server = folder / "edge.toml", folder / "identity", server
        self.lines: list[str] = []

    def enrol(self, token: str | None = None, waiting: Waiting | None = None) -> str:
        return enrol(self.server.url, token, self.config, self.folder, waiting=waiting)

    @property
    def code(self) -> str:
        (line,) = (line for line in self.lines if "This device's code is" in line)
        return line.split("code is ")[1][:14].replace("-", "")

    def waiting(self, and_then: "list[object]") -> Waiting:
        """Waits by calling the next of `and_then` in place of sleeping."""

        def pause(_: float) -> None:
            step = and_then.pop(0)
            assert callable(step)
            step()

        return Waiting(None, self.lines.append, pause)

    def job(self, *, rotate_key: bool = True) -> Job:
        settings = load(self.config)
        files = Files(settings.uplink.ca_file, settings.uplink.cert_file, settings.uplink.key_file)
        assert settings.identity.server == self.server.url
        return Job(settings.identity.server, settings.uplink.device, files, None, rotate_key)

    def key_der(self) -> bytes:
        return FileKey.read(self.folder / "device.key").public_der()


@pytest.fixture
def board(tmp_path: Path, server: EstServer) -> Board:
    (tmp_path / "board").mkdir()
    return Board(tmp_path / "board", server)


def test_a_token_makes_a_device_with_a_key_that_only_its_user_reads_row_12(board: Board, server: EstServer) -> None:
    assert board.enrol(server.token("boiler-7")) == "boiler-7"
    assert stat.S_IMODE((board.folder / "device.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(board.folder.stat().st_mode) == 0o700
    settings = load(board.config)
    context = est.trusting(x509.load_pem_x509_certificates(settings.uplink.ca_file.read_bytes()))
    present_files(context, settings.uplink.cert_file, settings.uplink.key_file)


def test_a_token_is_good_once_row_3(board: Board, server: EstServer) -> None:
    token = server.token("boiler-7")
    board.enrol(token)
    with pytest.raises(ConfigError, match="refuses"):
        board.enrol(token)


def test_a_device_that_comes_first_is_claimed_by_its_code(board: Board, server: EstServer) -> None:
    steps: list[object] = [lambda: None, lambda: server.claim(board.code, "boiler-8")]
    assert board.enrol(waiting=board.waiting(steps)) == "boiler-8"
    root = x509.load_pem_x509_certificate((board.folder / "ca.pem").read_bytes())
    assert board.code == claim_code(root.fingerprint(hashes.SHA256()), board.key_der())
    assert not (board.folder / "enrolling").exists()


def test_the_code_survives_the_command(board: Board, server: EstServer) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.enrol(waiting=board.waiting([stopped]))
    first = board.code
    board.lines.clear()
    assert board.enrol(waiting=board.waiting([lambda: server.claim(board.code, "boiler-9")])) == "boiler-9"
    assert board.code == first


def test_nobody_claims_in_time(board: Board) -> None:
    with pytest.raises(TransientError, match="the code stays"):
        board.enrol(waiting=Waiting(0.0, board.lines.append, lambda _: None))


def test_an_operator_refuses(board: Board, server: EstServer) -> None:
    with pytest.raises(ConfigError, match="refuses"):
        board.enrol(waiting=board.waiting([lambda: server.refuse(board.code)]))
    assert not (board.folder / "enrolling").exists()


@pytest.mark.parametrize("rotate_key", [True, False])
def test_a_certificate_is_renewed_with_the_present_one(board: Board, server: EstServer, rotate_key: bool) -> None:
    board.enrol(server.token("boiler-7"))
    job = board.job(rotate_key=rotate_key)
    before, key = job.store.present().cert_file.read_bytes(), board.key_der()
    answer = renew(job, expired=False)
    staged = job.store.staged()
    assert staged is not None
    assert job.store.present().cert_file.read_bytes() == before != staged.cert_file.read_bytes()
    life = job.store.life(staged)
    assert life is not None
    assert answer["issued"]["serial"] == life.serial
    job.store.promote()
    assert (board.key_der() != key) is rotate_key
    settings = load(board.config)
    context = est.trusting(x509.load_pem_x509_certificates(settings.uplink.ca_file.read_bytes()))
    present_files(context, settings.uplink.cert_file, settings.uplink.key_file)


def test_a_revoked_device_gets_no_other_certificate(board: Board, server: EstServer) -> None:
    board.enrol(server.token("boiler-7"))
    server.revoke("boiler-7")
    with pytest.raises(est.RefusedError):
        renew(board.job(), expired=False)
    assert board.job().store.staged() is None


def test_an_expired_device_waits_for_an_operator_and_keeps_its_key(board: Board, server: EstServer) -> None:
    board.enrol(server.token("boiler-7"))
    key = board.key_der()
    assert "waiting" in renew(board.job(), expired=True)
    server.approve_renewal("boiler-7")
    assert "issued" in renew(board.job(), expired=True)
    board.job().store.promote()
    assert board.key_der() == key


def test_an_unknown_key_is_not_renewed(board: Board, server: EstServer) -> None:
    board.enrol(server.token("boiler-7"))
    job = board.job()
    key = FileKey.fresh()
    context = est.trusting(x509.load_pem_x509_certificates(job.files.ca_file.read_bytes()))
    with pytest.raises(est.RefusedError):
        est.EstClient(server.url).enroll(context, certificate_request(key), device="boiler-7")


def test_the_same_ca_certificates_change_nothing(board: Board, server: EstServer) -> None:
    board.enrol(server.token("boiler-7"))
    assert refresh(board.job()) == {"changed": False}
    assert board.job().store.staged() is None


def test_the_store_serves_what_was_enrolled(board: Board, server: EstServer) -> None:
    board.enrol(server.token("boiler-7"))
    store: IdentityStore = board.job().store
    life = store.life(store.present())
    assert life is not None
    assert life.ends_s > life.begins_s


def test_each_device_has_a_key_of_its_own_row_1(tmp_path: Path, server: EstServer) -> None:
    boards = []
    for name in ("boiler-1", "boiler-2"):
        (tmp_path / name).mkdir()
        boards.append(Board(tmp_path / name, server))
        boards[-1].enrol(server.token(name))
    assert len({board.key_der() for board in boards}) == 2


@pytest.mark.parametrize("way", [["-"], ["--token-file", "-"]])
def test_the_command_reads_the_token_from_its_input(
    board: Board,
    server: EstServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    way: list[str],
) -> None:
    token = server.token("boiler-7")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    words = ["enroll", server.url, *way, "--config", str(board.config), "--dir", str(board.folder)]
    assert main(words) == 0
    assert "enrolled as boiler-7" in capsys.readouterr().out


def test_the_command_shows_the_code_large_and_what_to_do(
    board: Board, server: EstServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["enroll", server.url, "--timeout", "0.001", "--config", str(board.config), "--dir", str(board.folder)]
    assert main(words) == 1
    shown = capsys.readouterr()
    code = re.search(r"This device's code is (\w{4}-\w{4}-\w{4})\.", shown.out)
    assert code is not None
    assert "  ".join(" ".join(part) for part in code[1].split("-")) in shown.out
    assert f"{server.url}/api/v1/enrolments/claims" in shown.out
    assert "the code stays" in shown.err


def test_someone_between_with_another_ca_shows_another_code(board: Board, server: EstServer, tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        board.enrol(waiting=Waiting(0.0, board.lines.append, lambda _: None))
    (tmp_path / "between").mkdir()
    with serving_est(FakeEst(CredentialsFactory(tmp_path / "between"))) as between:
        with pytest.raises(ConfigError, match="shows another CA than before"):
            enrol(between.url, None, board.config, board.folder, waiting=Waiting(0.0))
        fooled = Board(tmp_path, between)
        with pytest.raises(TransientError):
            fooled.enrol(waiting=Waiting(0.0, fooled.lines.append, lambda _: None))
    assert fooled.code != board.code


def test_a_key_in_a_token_is_not_left_behind_in_silence(board: Board, server: EstServer) -> None:
    board.config.write_text('[identity]\nkey = "pkcs11:token=a;object=b"\npin_file = "/x"\npkcs11_module = "/y"\n')
    with pytest.raises(ConfigError, match="names a key in a token: give --key as well"):
        board.enrol(server.token("boiler-7"))
    assert not (board.folder / "device.pem").exists()
