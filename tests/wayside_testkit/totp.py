"""An authenticator, written from RFC 6238 and apart from the server's."""

import base64
import hashlib
import hmac
import struct
from datetime import datetime


def code_at(secret: str, moment: datetime) -> str:
    """The six digits that an authenticator with the base32 `secret` shows at `moment`."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(moment.timestamp()) // 30), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"
