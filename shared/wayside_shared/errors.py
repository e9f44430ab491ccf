"""The error tree that both sides share.

Three kinds are acted on, everything else is a bug and falls through: a `ConfigError` ends the program with exit
status 78 (EX_CONFIG), a `TransientError` makes the caller back off and try again, a `RejectedError` is counted and
sets its subject aside (a batch goes to the dead letters, a reading is refused).
"""

from wayside_shared.rejects import RejectCode

EXIT_CONFIG = 78
MAX_DETAIL = 400


class WaysideError(Exception):
    """Root of every error that this project raises on purpose."""


class ConfigError(WaysideError):
    """A setting is wrong; a person must act.

    Args:
        message: what is wrong, and the fix.
        source: the file or option that holds it, when known.
        line: its line in that file, counted from 1, when known.
    """

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        self.message = message
        self.source = source
        self.line = line
        where = ":".join(str(part) for part in (source, line) if part is not None)
        super().__init__(f"{where}: {message}" if where else message)


class TransientError(WaysideError):
    """Something outside is away for now; back off and try again."""


class RejectedError(WaysideError):
    """Data that no retry can make good; count it and set it aside.

    Args:
        code: the machine-readable reason, as carried in acknowledgements and dead letters.
        detail: one line for a person; never the data itself. What is over `MAX_DETAIL` characters is cut off.
    """

    def __init__(self, code: RejectCode, detail: str) -> None:
        self.code = code
        self.detail = detail[:MAX_DETAIL]
        super().__init__(f"{code.value}: {self.detail}")
