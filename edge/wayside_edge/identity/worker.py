"""What needs a library for certificates, in a process of its own: `python -m wayside_edge.identity.worker`.

The agent never loads that library, which would cost it a quarter of its memory for one minute's work a month. It
starts this instead, writes one JSON object to its input and reads one from its output. What comes is laid beside the
present identity; only the agent makes it the present one.
"""

import json
import os
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from wayside_edge.errors import ConfigError, WaysideError
from wayside_edge.identity import est
from wayside_edge.identity.keys import FileKey, Signer, certificate_request
from wayside_edge.identity.settings import TokenSettings
from wayside_edge.identity.store import Contents, Files, IdentityStore
from wayside_edge.identity.token import present_files, present_token

NICE: Final = 10
"""Measuring goes first on a board with one core: starting this takes seconds there."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done for one device.

    Args:
        server: its address.
        device: the device's name.
        files: as the configuration names them.
        token: where the key is, when not in a file.
        rotate_key: whether a renewed certificate gets a new key.
    """

    server: str
    device: str
    files: Files
    token: TokenSettings | None
    rotate_key: bool

    @property
    def store(self) -> IdentityStore:
        """Its versions."""
        return IdentityStore(self.files)


def renew(job: Job, *, expired: bool) -> dict[str, Any]:
    """Ask for a new certificate, and lay it beside the present one.

    Args:
        job: whose.
        expired: the present one has ended, so that only its key is known.

    Raises:
        WaysideError: it did not come about; one line.
    """
    client, present = est.EstClient(job.server), job.store.present()
    roots = _certificates(present.ca_file)
    context = est.trusting(roots)
    key, content = _key(job, present, fresh=job.rotate_key and not expired)
    request, key_der = certificate_request(key), key.public_der()
    if not expired:
        _present(context, present, job.token)
    given = client.enroll(context, request, device=job.device) if expired else client.reenroll(context, request)
    if isinstance(given, est.Pending):
        return {"waiting": given.retry_after_s}
    listed = est.roots_of(client.cacerts(context))
    est.check(given, key_der, [*roots, *listed], job.device)
    life = est.life_of(given.leaf)
    kept = _kept(client, listed, roots, given.chain)
    job.store.stage(Contents(est.pem(kept), given.pem, content, life))
    return {"issued": asdict(life)}


def refresh(job: Job) -> dict[str, Any]:
    """Ask which CA certificates to trust, and when they have changed lay them beside the present ones."""
    client, present = est.EstClient(job.server), job.store.present()
    roots, chain = _certificates(present.ca_file), _certificates(present.cert_file)
    listed = est.roots_of(client.cacerts(est.trusting(roots)))
    kept = _kept(client, listed, roots, chain)
    if {*kept} == {*roots}:
        return {"changed": False}
    key = None if present.key_file is None else present.key_file.read_bytes()
    job.store.stage(Contents(est.pem(kept), est.pem(chain), key, est.life_of(chain[0])))
    return {"changed": True}


def describe(cert_file: Path) -> dict[str, Any]:
    """What counts of the certificate in `cert_file`."""
    return {"life": asdict(est.life_of(_certificates(cert_file)[0]))}


def _kept(
    client: est.EstClient,
    listed: Sequence[x509.Certificate],
    present: Sequence[x509.Certificate],
    chain: Sequence[x509.Certificate],
) -> list[x509.Certificate]:
    """Whom to trust from now on: whom the server lists, and whom it lists no more as long as anything needs it."""
    gone = [root for root in present if root not in listed]
    if not gone:
        return [*listed]
    if est.under(chain, listed):
        try:
            client.cacerts(est.trusting(listed))
        except ConfigError:
            return [*listed, *gone]
        return [*listed]
    return [*listed, *gone]


def _key(job: Job, present: Files, *, fresh: bool) -> tuple[Signer, bytes | None]:
    """The key for the request, and its PEM text where it is in a file."""
    if job.token is not None:
        from wayside_edge.identity.token_key import TokenKey  # a library that only boards with a token have

        return TokenKey(job.token), None
    if fresh:
        made = FileKey.fresh()
        return made, made.pem()
    if present.key_file is None:
        raise ConfigError("no key: correct uplink.key_file")
    return FileKey.read(present.key_file), present.key_file.read_bytes()


def _present(context: ssl.SSLContext, present: Files, token: TokenSettings | None) -> None:
    try:
        if token is not None:
            present_token(context, present.cert_file, token)
        elif present.key_file is not None:
            present_files(context, present.cert_file, present.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {present.cert_file} and its key: {error}") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate; enrol this device anew") from error


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What comes of one question."""
    try:
        match question:
            case {"do": "renew", "expired": bool(expired)}:
                return renew(_job(question), expired=expired)
            case {"do": "refresh"}:
                return refresh(_job(question))
            case _:
                return describe(Path(question["cert_file"]))
    except (WaysideError, OSError) as error:
        return {"failed": str(error)}


def _job(question: dict[str, Any]) -> Job:
    ca_file, cert_file, key_file = (question["files"][name] for name in ("ca_file", "cert_file", "key_file"))
    token = question["token"]
    return Job(
        server=question["server"],
        device=question["device"],
        files=Files(Path(ca_file), Path(cert_file), None if key_file is None else Path(key_file)),
        token=None if token is None else TokenSettings.of(token),
        rotate_key=question["rotate_key"],
    )


def main() -> int:
    """Do what the input says, and say what came of it."""
    with suppress(PermissionError):  # a sandbox may forbid even that
        os.nice(NICE)
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
