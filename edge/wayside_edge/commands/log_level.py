"""`wayside-edge log-level`: how much the running agent says, without a restart."""

import argparse
from typing import Any

from wayside_edge import config
from wayside_edge.commands.running import ask


def run(options: argparse.Namespace) -> int:
    """Change a level and say what holds now; returns 0.

    Args:
        options: the command line.

    Raises:
        TransientError: no agent runs, or it does not know the level.
    """
    settings = config.load_as_far_as_enrolled(options.config)
    question: dict[str, Any]
    if options.send:
        question = {"ask": "log-send", "level": options.level}
    else:
        question = {"ask": "log-level", "module": options.module or "", "level": options.level}
        question |= {} if options.minutes is None else {"minutes": options.minutes}
    told = ask(settings.health, settings.outbox.path, question)
    if options.send:
        print(f"copied to the server: {_said(told['send'])}")
        return 0
    for module, level in {"all modules": told["level"], **told["levels"]}.items():
        print(f"{module}: {level}")
    return 0


def _said(level: str) -> str:
    return "nothing" if level == "off" else f"lines from {level} on"
