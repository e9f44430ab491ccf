"""`wayside-edge log-level`: how much the running agent says, without a restart."""

import argparse
from typing import Any

from wayside_edge import config
from wayside_edge.commands.running import ask
from wayside_edge.errors import ConfigError


def run(options: argparse.Namespace) -> int:
    """Change a level, or none, and say what holds now; returns 0.

    Args:
        options: the command line.

    Raises:
        ConfigError: the arguments do not go together.
        TransientError: no agent runs, or it does not know the level.
    """
    question = _question(options)
    settings = config.load_as_far_as_enrolled(options.config)
    told = ask(settings.health, settings.outbox.path, question, options.config)
    if "level" in told:
        for module, level in {"all modules": told["level"], **told["levels"]}.items():
            print(f"{module}: {level}")
    print(f"copied to the server: {_said(told['send'])}")
    return 0


def _question(options: argparse.Namespace) -> dict[str, Any]:
    if not options.what and not options.send and options.minutes is None:
        return {"ask": "log-level"}
    if len(options.what) not in (1, 2) or (options.send and (len(options.what) == 2 or options.minutes is not None)):
        form = "--send LEVEL" if options.send else "[MODULE] LEVEL [--for MINUTES]"
        raise ConfigError(f"type: wayside-edge log-level {form}")
    *module, level = options.what
    if options.send:
        return {"ask": "log-send", "level": level}
    minutes = {} if options.minutes is None else {"minutes": options.minutes}
    return {"ask": "log-level", "module": "".join(module), "level": level} | minutes


def _said(level: str) -> str:
    return "nothing" if level == "off" else f"lines from {level} on"
