"""Takes secrets out of texts that leave the board: log lines, configuration, other programs' output."""

import re
from collections.abc import Collection, Mapping
from typing import Final

HIDDEN: Final = "[hidden]"
_WORDS = r"passwo?rd|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|psk\b"
_VALUE = r"(?!\[hidden\])(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|\[[^\]]*\]|[^\s,;&\"'}\]]+)"
_NAME: Final = re.compile(_WORDS, re.IGNORECASE)
SHORTEST: Final = 6
"""A secret of fewer letters is looked for under its name alone: else half a text would be hidden."""
# A long run of letters must not be looked at again from each of its letters: every pattern begins with a fixed text or
# at the beginning of a run.
_PATTERNS: Final = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), rf"{before}{HIDDEN}{after}")
    for pattern, before, after in (
        # A whole PEM block, also one that is cut off.
        (r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", "", ""),
        # scheme://user:password@host
        (r"((?<![A-Z0-9+.-])[A-Z][A-Z0-9+.-]{0,20}://)[^\s/@'\"]{1,512}@", r"\1", "@"),
        (rf"\b(authorization[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?(?:bearer|basic|digest)?\s{{0,3}}){_VALUE}", r"\1", ""),
        (r"\b((?:bearer|basic)\s{1,3})[A-Z0-9._~+/=-]{12,}", r"\1", ""),
        # Wayside's own API keys; its tokens have the same 43 letters of base64url.
        (r"\b(ws[a-z]_[a-z0-9]{2,16}_)[A-Z0-9_-]{8,}", r"\1", ""),
        (r"(?<![A-Z0-9_-])(?=[a-z_-]{0,42}[0-9])[A-Z0-9_-]{43}(?![A-Z0-9_-])", "", ""),
        # key = "value", "key": "value", --key value; the name of a file with a key is no secret.
        (rf"((?:{_WORDS})(?!_?files?\b|_?path\b)[A-Z0-9_]{{0,20}}[\"']?\s{{0,3}}[:=]\s{{0,3}}){_VALUE}", r"\1", ""),
        (rf"(--(?:{_WORDS})\s){_VALUE}", r"\1", ""),
    )
)


def redact(text: str, known: Collection[str] = ()) -> str:
    """`text` without what looks like a secret: private keys, passwords in addresses, tokens, and values of keys that
    are named like one. The rest stands as it was.

    Args:
        text: any text.
        known: secrets to hide wherever they stand.
    """
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def secrets_in(values: object, *, named: bool = False) -> set[str]:
    """The texts in `values`, as TOML or JSON gives them, that stand under a key named like a secret."""
    if isinstance(values, Mapping):
        return {
            found for key, value in values.items() for found in secrets_in(value, named=named or _is_secret(str(key)))
        }
    if isinstance(values, list):
        return {found for value in values for found in secrets_in(value, named=named)}
    return {values} if named and isinstance(values, str) and len(values) >= SHORTEST else set()


def _is_secret(key: str) -> bool:
    return _NAME.search(key) is not None and not re.search(r"file|path", key, re.IGNORECASE)
