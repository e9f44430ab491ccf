"""Takes secrets out of texts that leave the board: log lines, configuration, other programs' output."""

import re
from collections.abc import Collection, Mapping
from typing import Final

HIDDEN: Final = "[hidden]"
_WORDS = (
    r"passwo?rd|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|psk\b"
    r"|\b(?:pass|pwd|auth|community)\b"
)
_LONGEST = 4_000
"""Characters of a value at most: what is never closed must not cost a look at the whole text from each beginning."""
# Each kind of value ends at its closing sign, or where the line or its greatest length does.
_VALUE = (
    r"(?!\[hidden\])[bru]{0,2}(?:"
    + "|".join(
        (
            rf"\"\"\"(?:(?!\"\"\").){{0,{_LONGEST}}}(?:\"\"\")?",
            rf"'''(?:(?!''').){{0,{_LONGEST}}}(?:''')?",
            rf"\\{{1,4}}\"(?:(?!\\{{1,4}}\")[^\n]){{0,{_LONGEST}}}(?:\\{{1,4}}\")?",  # JSON within JSON
            r"\"(?:\\[^\n]|[^\"\\\n])*(?:\"|(?=\\?\n)|\Z)",
            r"'(?:\\[^\n]|[^'\\\n])*(?:'|(?=\\?\n)|\Z)",
            rf"\[[^\]]{{0,{_LONGEST}}}\]?",
            rf"\{{[^}}\n]{{0,{_LONGEST}}}\}}?",
            rf"\|[ \t]*(?:\n[ \t]+[^\n]{{0,{_LONGEST}}})*",  # a block of YAML
            r"[^\s,;&\"'}\]]+",
        )
    )
    + ")"
)
_NAME: Final = re.compile(_WORDS, re.IGNORECASE)
SHORTEST: Final = 6
"""A secret of fewer letters is looked for under its name alone: else half a text would be hidden."""
_PRIVATE = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_SCHEME = r"(?<![A-Z0-9+.-])[A-Z][A-Z0-9+.-]{0,20}://"
_KEY = rf"(?:{_WORDS})(?!_?files?\b|_?path\b)[A-Z0-9_]{{0,20}}"
# A long run of letters must not be looked at again from each of its letters: every pattern begins with a fixed text or
# at the beginning of a run.
_PATTERNS: Final = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE | re.MULTILINE), rf"{before}{HIDDEN}{after}")
    for pattern, before, after in (
        # A whole PEM block, also one that is cut off.
        (rf"-----BEGIN {_PRIVATE}.*?(?:-----END {_PRIVATE}|\Z)", "", ""),
        # A line of a configuration whose value has no quotes: all of it.
        (
            rf"^([ \t]{{0,40}}[\w.-]{{0,60}}?{_KEY}[ \t]{{0,9}}=[ \t]{{0,9}})(?!\[hidden\])[^\s\"'\[{{\\|][^\n]*",
            r"\1",
            "",
        ),
        # scheme://user:password@host, also where the password holds an @, or a slash that is not behind a port.
        (rf"({_SCHEME})(?![^\s/:@]{{0,255}}:\d{{1,5}}[/?#])[^\s/:@\"']{{0,255}}:[^\s\"']{{1,512}}@", r"\1", "@"),
        (rf"({_SCHEME})[^\s/\"']{{1,512}}@", r"\1", "@"),
        (rf"\b(authorization[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?(?:bearer|basic|digest)?\s{{0,3}}){_VALUE}", r"\1", ""),
        (r"\b((?:bearer|basic)\s{1,3})[A-Z0-9._~+/=-]{12,}", r"\1", ""),
        (r"\b((?:set-)?cookie[\"']?\s{0,3}[:=]\s{0,3})[^\n]+", r"\1", ""),
        # Wayside's own API keys; its tokens have the same 43 letters of base64url.
        (r"\b(ws[a-z]_[a-z0-9]{2,16}_)[A-Z0-9_-]{8,}", r"\1", ""),
        (r"(?<![A-Z0-9_-])(?=[a-z_-]{0,42}[0-9])[A-Z0-9_-]{43}(?![A-Z0-9_-])", "", ""),
        # A JSON web token (RFC 7519).
        (r"\beyJ[A-Z0-9_-]{8,}\.[A-Z0-9_-]{4,}\.[A-Z0-9_-]*", "", ""),
        # key = "value", "key": "value", --key value; the name of a file with a key is no secret.
        (rf"({_KEY}\\{{0,4}}[\"']?\s{{0,3}}(?:=>|[:=＝])\s{{0,3}}){_VALUE}", r"\1", ""),
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
