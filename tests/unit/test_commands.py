"""What every command line says of itself."""

import argparse
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from wayside_edge import __main__ as edge
from wayside_firmware import __main__ as firmware
from wayside_server import __main__ as server

PARSERS = [edge.parser(), server.parser(), firmware.demo_parser(), firmware.firmware_parser()]


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Every argument that a person can give, with its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from options(sub)
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            yield parser.prog, action


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_version(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--version"])
    assert not ended.value.code
    assert capsys.readouterr().out == f"{parser.prog} {version('wayside')}\n"


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_every_argument_has_help_and_every_default_is_told(parser: argparse.ArgumentParser) -> None:
    for command, action in options(parser):
        assert action.help, f"{command}: {action.dest} has no help"
        if action.default not in (None, False, [], argparse.SUPPRESS):
            assert "%(default)" in action.help, f"{command}: the default of {action.dest} is not told"
