"""Asks the running agent of this machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wayside_edge.errors import TransientError
from wayside_edge.hal import local_socket
from wayside_edge.health.body import RUNTIME_SOCKET, socket_path
from wayside_edge.health.settings import HealthSettings

TIMEOUT_S: Final = 10.0
"""Longer than the agent gives itself for an answer."""
MAX_ANSWER: Final = 16 * 1024 * 1024
RUNTIME: Final = Path("/run/wayside") / RUNTIME_SOCKET
"""Where the agent is that systemd runs; its RUNTIME_DIRECTORY is not known to others."""


class NotRunningError(TransientError):
    """No agent answers."""


def ask(health: HealthSettings, outbox: Path, question: Mapping[str, Any], config: Path) -> dict[str, Any]:
    """The answer of the agent that has `outbox`.

    Args:
        health: `[health]` of its configuration.
        outbox: its outbox.
        question: what it is asked.
        config: its configuration's file, for the message that says how to start it.

    Raises:
        NotRunningError: there is none; one line with what to type.
        TransientError: it is there, and does not answer this.
    """
    denied: Path | None = None
    for path in dict.fromkeys((socket_path(health, outbox), RUNTIME)):
        try:
            with local_socket.connect(path, TIMEOUT_S) as link:
                link.sendall(json.dumps(question).encode() + b"\n")
                with link.makefile("rb") as lines:
                    answer = json.loads(lines.readline(MAX_ANSWER) or b"{}")
        except PermissionError:
            denied = path
        except TimeoutError as error:
            raise TransientError(f"the agent at {path} does not answer; see: systemctl status wayside-edge") from error
        except (OSError, ValueError):
            continue
        else:
            if "error" in answer:
                raise TransientError(f"the agent says: {answer['error']}")
            return dict(answer)
    if denied is not None:
        raise NotRunningError(f"{denied} is not this user's; type: sudo wayside-edge …")
    start = f"sudo systemctl start wayside-edge, or: wayside-edge run --config {config}"
    raise NotRunningError(f"no agent runs with {outbox}; start it: {start}")
