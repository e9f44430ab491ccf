"""`wayside-edge enroll URL [TOKEN]`: a key made here, a certificate from the server, and the configuration to use them.

With a token: it names the root certificate by its SHA-256. The first request therefore needs no trust: whatever server
answers, only the CA that the token names is accepted, and from then on TLS is verified against it.

Without: the device takes the root that it is shown, and shows a code made of that root and of its own key. An operator
types the code at the server, which computes it from its own root. Someone between with another root makes another
code, which no server knows.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from wayside_edge.config import sample
from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity import est
from wayside_edge.identity.keys import FileKey, Signer, certificate_request
from wayside_edge.identity.settings import TokenSettings
from wayside_edge.identity.store import Contents, Files, IdentityStore
from wayside_edge.identity.wiping import wipe_folder
from wayside_edge.uplink.placement import place_table, place_uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.enrolment import claim_code, parse_token
from wayside_shared.settings import Table, from_toml, remainder, setting

SHORTEST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
"""Bounds of what a server may ask for between two questions: someone stands beside the device and waits."""
AWAY_S: Final = 10.0
"""Before a server that does not answer is asked again, while an operator is waited for."""
WAITING: Final = "enrolling"
"""Folder with key and request of a device that waits to be claimed."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a device without a token waits for an operator.

    Args:
        timeout_s: how long, in seconds; None for ever.
        say: shows a line to the person at the device.
        pause: waits so many seconds.
    """

    timeout_s: float | None = None
    say: Callable[[str], None] = lambda _: None
    pause: Callable[[float], None] = time.sleep


def enrol(
    url: str,
    token: str | None,
    config: Path,
    directory: Path,
    *,
    waiting: Waiting | None = None,
    key: TokenSettings | None = None,
) -> str:
    """Makes this machine a device of the server at `url`; keeps key, certificate and CA in `directory`.

    A token is not spent before everything that can be checked here has been checked. Without one, the same key and
    code serve until the device is claimed or refused, however often this is begun anew.

    Args:
        url: https address of the server.
        token: one-time token from `wayside-server token create`; None to wait for an operator.
        config: the agent's TOML file, whose `[uplink]` and `[identity]` are written; a sample is made when there is
            none.
        directory: for `device.key` (0600), `device.pem` and `ca.pem`; made 0700 when missing.
        waiting: how to wait, without a token.
        key: a token of the other kind, PKCS#11, that makes and keeps the key; None for a file.

    Returns:
        The device's name, given by the server.

    Raises:
        ConfigError: a person must act: wrong token or CA, wrong clock, wrong host name, unwritable files; one line.
        TransientError: the server cannot be reached or is not well, or nobody claimed the device in time; the token,
            or the code, is good still.
    """
    fingerprint = None if token is None else parse_token(token).fingerprint
    client = est.EstClient(url)
    text = _config_text(config)
    _placed(text, UplinkSettings(host="host", device="device"), url, key, str(config))
    for folder in (directory, config.absolute().parent):
        _try_folder(folder)
    if token is not None and fingerprint is not None:
        signer: Signer = FileKey.fresh() if key is None else _token_key(key)
        root = _trusted_root(client, fingerprint)
        roots = _all_roots(client, root)
        issued = client.enroll(est.trusting([root]), certificate_request(signer), token=token.strip())
        if isinstance(issued, est.Pending):
            raise TransientError(f"{client.name} wants an operator to decide; try again later")
    else:
        signer, root, issued = _claimed(client, directory / WAITING, key, waiting or Waiting())
        roots = _all_roots(client, root)
    est.check(issued, signer.public_der(), [root])
    broker = _broker(issued, client)
    _refuse_other_device(directory / "device.pem", issued.device)
    files = Files(*((directory / name).absolute() for name in ("ca.pem", "device.pem", "device.key")))
    content = signer.pem() if isinstance(signer, FileKey) else None
    kept = Files(files.ca_file, files.cert_file, None) if content is None else files
    IdentityStore(kept).install(Contents(est.pem(roots), issued.pem, content, est.life_of(issued.leaf)))
    uplink = UplinkSettings(
        host=broker[0],
        port=broker[1],
        device=issued.device,
        ca_file=files.ca_file,
        cert_file=files.cert_file,
        key_file=files.key_file or directory / "device.key",
    )
    _write(config, _placed(text, uplink, url, key, str(config)).encode(), 0o644)
    wipe_folder(directory / WAITING)
    return issued.device


@dataclass(frozen=True, slots=True)
class _Identity:
    """As much of the agent's file as tells whether its key is in a token."""

    identity: Table = setting("See IdentitySettings.", factory=lambda: Table({}))
    rest: Table = remainder("All else.")


def _placed(text: str, uplink: UplinkSettings, url: str, key: TokenSettings | None, source: str) -> str:
    identity: dict[str, str | int] = {"server": url}
    if key is not None:
        identity |= {"key": key.uri, "pin_file": str(key.pin_file), "pkcs11_module": str(key.module)}
    elif "key" in from_toml(_Identity, text, source).identity.values:
        raise ConfigError("[identity] names a key in a token: give --key as well, or remove 'key' there", source=source)
    return place_table(place_uplink(text, uplink, source), "identity", identity, source)


def _token_key(settings: TokenSettings) -> Signer:
    from wayside_edge.identity.token_key import TokenKey  # a library that only boards with a token have

    return TokenKey(settings)


def _trusted_root(client: est.EstClient, fingerprint: bytes) -> x509.Certificate:
    for certificate in client.cacerts(est.blind()):
        if certificate.fingerprint(hashes.SHA256()) == fingerprint:
            return certificate
    raise ConfigError(
        f"{client.host} shows another CA than the one in the token: the token is for another server, "
        "or someone stands between; nothing was sent"
    )


def _all_roots(client: est.EstClient, root: x509.Certificate) -> list[x509.Certificate]:
    """Whom the server wants to be trusted, said over a connection that is; two in a rollover."""
    listed = est.roots_of(client.cacerts(est.trusting([root])))
    return listed if root in listed else [root, *listed]


def _claimed(
    client: est.EstClient, folder: Path, key: TokenSettings | None, waiting: Waiting
) -> tuple[Signer, x509.Certificate, est.Certificates]:
    """Show the code and wait until an operator has typed it."""
    signer, request = _kept_request(folder, key)
    root = _shown_root(client, folder)
    code = claim_code(root.fingerprint(hashes.SHA256()), signer.public_der())
    for line in _banner(code, client):
        waiting.say(line)
    began_s = time.monotonic()
    context = est.trusting([root])
    while True:
        try:
            answer = client.enroll(context, request)
        except est.RefusedError:
            wipe_folder(folder)
            raise
        except TransientError as error:
            answer = est.Pending(AWAY_S)
            waiting.say(f"{error}; trying again")
        if isinstance(answer, est.Certificates):
            return signer, root, answer
        waited_s = time.monotonic() - began_s
        if waiting.timeout_s is not None and waited_s >= waiting.timeout_s:
            raise TransientError(
                f"nobody claimed this device within {waiting.timeout_s:g} s; type the same again, the code stays"
            )
        waiting.say(f"not claimed yet, {int(waited_s // 60)} min {int(waited_s % 60)} s; code {_shown(code)}")
        wait_s = min(max(answer.retry_after_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)
        waiting.pause(wait_s if waiting.timeout_s is None else min(wait_s, waiting.timeout_s - waited_s))


def _banner(code: str, client: est.EstClient) -> Sequence[str]:
    return (
        "",
        f"        {'  '.join(' '.join(part) for part in _shown(code).split('-'))}",
        "",
        f"This device's code is {_shown(code)}. To claim it, an operator signs in at https://{client.name} and types",
        f"the code there, or posts it to https://{client.name}/api/v1/enrolments/claims.",
        "If the code is not known there, someone stands between, or this is another server.",
    )


def _shown(code: str) -> str:
    letters = code.replace("-", "")
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def _kept_request(folder: Path, key: TokenSettings | None) -> tuple[Signer, bytes]:
    """Key and request of this device; those of an earlier try, so that its code stays."""
    key_file, request_file = folder / "device.key", folder / "request.der"
    if key is not None:
        signer: Signer = _token_key(key)
    elif request_file.exists():
        signer = FileKey.read(key_file)
    else:
        made = FileKey.fresh()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key_file, made.pem(), 0o600)
        signer = made
    if not request_file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(request_file, certificate_request(signer), 0o600)
    return signer, request_file.read_bytes()


def _shown_root(client: est.EstClient, folder: Path) -> x509.Certificate:
    """The root that the server's certificates lead to; once seen, another one is refused.

    Raises:
        ConfigError: there is none, or it is another one than before.
    """
    shown = client.cacerts(est.blind())
    issuers = [certificate for certificate in shown if certificate.subject != certificate.issuer]
    roots = [root for root in est.roots_of(shown) if not issuers or any(est.under([c], [root]) for c in issuers)]
    seen_file = folder / "root.der"
    if seen_file.exists():
        seen = x509.load_der_x509_certificate(seen_file.read_bytes())
        if seen in shown:
            return seen
        raise ConfigError(
            f"{client.name} shows another CA than before: someone stands between, or it is another server; to begin"
            f" anew with it remove {folder}"
        )
    if not roots:
        raise ConfigError(f"{client.name} shows no root certificate; is this the server?")
    _write(seen_file, roots[0].public_bytes(serialization.Encoding.DER), 0o600)
    return roots[0]


def _broker(issued: est.Certificates, client: est.EstClient) -> tuple[str, int]:
    host, _, port = (issued.broker or "").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{client.name} does not say where the broker is")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _refuse_other_device(cert_file: Path, device: str) -> None:
    """What another device has in its outbox would be sent under this one's name."""
    try:
        present = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (OSError, ValueError):
        return
    names = [str(name.value) for name in present.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [device]:
        raise ConfigError(
            f"{cert_file} is of device {names[0] if names else '?'}, the token was for {device}; choose another --dir"
            " and another outbox, or remove both when that device is no more, and ask for a new token"
        )


def _try_folder(folder: Path) -> None:
    """Makes `folder` when missing and writes a file in it: better to fail now than with the token spent."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}") from error
    probe = folder / ".enrol"
    _write(probe, b"", 0o600)
    probe.unlink()


def _config_text(config: Path) -> str:
    try:
        return config.read_text(encoding="utf-8")
    except FileNotFoundError:
        return sample()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the configuration: {reason}", source=str(config)) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replaces `path` at once and durably; an existing file keeps its mode unless `mode` is stricter."""
    new = path.with_name(f".{path.name}.new")
    try:
        if path.exists():
            mode &= path.stat().st_mode
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
