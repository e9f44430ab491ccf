"""The second factor: time-based codes (RFC 6238) and recovery codes."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from io import BytesIO
from urllib.parse import quote

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S = 30
DIGITS = 6
"""With 30 seconds and SHA-1 what every authenticator has; most ignore anything else that the address asks for."""
SECRET_BYTES = 20
"""160 bits, the length of the hash (RFC 4226 section 4, R6)."""
DRIFT_STEPS = 1
"""A code of the step before or after is taken too: phones' clocks are off, and typing takes time (RFC 6238, 5.2)."""
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10


def new_secret() -> bytes:
    """A secret for an authenticator."""
    return secrets.token_bytes(SECRET_BYTES)


def accepted_step(secret: bytes, code: str, now: datetime, last_step: int | None) -> int | None:
    """The time step whose code `code` is; None when it is none, or one of `last_step` or before, which is spent."""
    clean = "".join(code.split())
    if len(clean) != DIGITS or not clean.isascii() or not clean.isdigit():
        return None
    generator = TOTP(secret, DIGITS, SHA1(), STEP_S)  # noqa: S303 - HMAC-SHA-1 is what authenticators have
    current = int(now.timestamp()) // STEP_S
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        same = hmac.compare_digest(generator.generate(step * STEP_S), clean.encode())
        if same and (last_step is None or step > last_step):
            found = step
    return found


def address(secret: bytes, name: str, host: str) -> str:
    """What the picture says to an authenticator (the otpauth addresses of Google Authenticator's key URI format)."""
    text = base64.b32encode(secret).decode().rstrip("=")
    return f"otpauth://totp/{quote(f'Wayside {host}')}:{quote(name)}?secret={text}&issuer={quote(f'Wayside {host}')}"


def picture(text: str) -> str:
    """`text` as a QR code: an SVG element, black on white on dark pages too, for cameras read no other."""
    out = BytesIO()
    segno.make(text, error="m").save(
        out, kind="svg", xmldecl=False, svgclass="qr", lineclass=None, omitsize=True, light="#fff"
    )
    return out.getvalue().decode()


def new_recovery_codes() -> list[str]:
    """Codes that stand in for an authenticator, each once, as xxxx-xxxx-xxxx-xxxx."""
    return [_grouped(secrets.token_bytes(_RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]


def recovery_digest(code: str) -> bytes:
    """What is kept of a recovery code: 80 random bits need no slow hash. Case, spaces and hyphens do not count."""
    clean = "".join(code.split()).replace("-", "").upper()
    return hashlib.sha256(b"wayside recovery " + clean.encode("utf-8", "surrogatepass")).digest()


def _grouped(data: bytes) -> str:
    text = base64.b32encode(data).decode()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))
