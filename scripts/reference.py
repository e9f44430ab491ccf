"""Writes docs/reference/ from the code (`make docs`). A test holds the committed pages to what this gives.

A page is a function without arguments in `PAGES`; add one there and run `make docs`.
"""

import argparse
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import reference_modules
import reference_server
from reference_server import table

from wayside_edge import __main__ as edge_command
from wayside_edge import config, registry
from wayside_edge.hal.buses import BUS_KINDS
from wayside_edge.ports import DriverKind
from wayside_firmware import __main__ as firmware_command
from wayside_firmware.board.build import BoardSettings
from wayside_firmware.board.gpio import GpioBoardSettings
from wayside_firmware.board.modbus import ModbusBoardSettings
from wayside_server import __main__ as server_command
from wayside_server.config import ServerSettings
from wayside_shared import (
    batch,
    cbor,
    clock,
    device_log,
    identifiers,
    layout,
    plain,
    quality,
    session,
    text,
    topics,
    units,
)
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.settings import describe

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Made by `make docs` from the code; do not edit. -->\n"


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // clock.NS_PER_S, UTC).isoformat()


LIMITS = [
    ("message on the wire", f"{batch.MAX_MESSAGE_BYTES:,} bytes"),
    ("body after inflation", f"{batch.MAX_BODY_BYTES:,} bytes"),
    ("samples in a message", f"{batch.MAX_SAMPLES:,}"),
    ("texts and JSON values among them", f"{text.MAX_TEXTS:,}"),
    ("JSON values among those", f"{text.MAX_JSON_VALUES:,}, together {text.MAX_JSON_CHARACTERS:,} characters"),
    ("values in a message of plain JSON or SenML", f"{plain.MAX_RECORDS:,}"),
    ("series in a message", f"{batch.MAX_SERIES:,}"),
    ("batches in one declared drop", f"{batch.MAX_DROPPED_BATCHES:,}"),
    ("text or JSON value", f"{text.MAX_TEXT_BYTES:,} bytes of UTF-8, no NUL, no lone surrogate"),
    (
        "lines of log",
        f"{device_log.MAX_LINES} in a message of {device_log.MAX_LOG_BYTES:,} bytes, of each text and data"
        f" {device_log.MAX_TEXT_BYTES:,} bytes",
    ),
    ("JSON nesting", f"{text.MAX_JSON_DEPTH}"),
    ("CBOR nesting", f"{cbor.MAX_DEPTH}, definite lengths only, no tags but the typed arrays below"),
    ("CBOR data items in one value", f"{cbor.MAX_ITEMS:,}"),
    ("`uint` fields", f"0 to 2**{cbor.MAX_UINT.bit_length()} − 1"),
    ("ranges and rejects in an acknowledgement", f"{session.MAX_ITEMS:,} each"),
    ("times, once in UTC", f"{_utc(clock.EARLIEST_NS)} or later, before {_utc(clock.LATEST_NS)}"),
]


def arguments(model: type) -> dict[str, str]:
    """What the `Args` of a class's docstring say, by name."""
    lines = (inspect.getdoc(model) or "").partition("Args:\n")[2].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        begin = re.match(r"    (\w+): (.*)", line)
        if begin is not None:
            name, found[begin[1]] = begin[1], begin[2]
        elif name and line.startswith("        "):
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return {name: meaning.rstrip(".") for name, meaning in found.items()}


def member_docs(enum: type) -> dict[str, str]:
    """The text that stands below each member of an enum, by the member's name."""
    members = re.findall(r'^    (\w+) = .*\n    """([^"]*)"""', inspect.getsource(enum), re.MULTILINE)
    return {name: " ".join(doc.split()) for name, doc in members}


def _layout(item: layout.Layout) -> str:
    meanings = {} if item.model is None else arguments(item.model)
    head = "key" if item.container == "map" else "place"
    rows = [(str(f.key), f"`{f.name}`", f.type, f.meaning or meanings[f.name]) for f in item.fields]
    lines = [f"### {item.title}\n", f"A CBOR {item.container}. {item.about}\n"]
    if item.content_type is not None and item.channel is not None:
        lines.append(f"Topic `{topics.topic('<device>', item.channel)}`, content type `{item.content_type}`.\n")
    return "\n".join([*lines, table((head, "field", "type", "meaning"), rows)])


def _topics() -> str:
    rows = (
        (f"`{topics.topic('<device>', channel)}`", "device" if channel.from_device else "server")
        for channel in topics.Channel
    )
    types = [
        (f"`{batch.CONTENT_TYPE}`", "the batches below, numbered: what our agent sends"),
        (f"`{plain.JSON_TYPE}`", inspect.getdoc(plain.read_json) or ""),
        (f"`{plain.SENML_JSON_TYPE}`, `{plain.SENML_CBOR_TYPE}`", inspect.getdoc(plain.read_senml) or ""),
    ]
    told = ((name, " ".join(doc.partition("\n\nArgs:")[0].split())) for name, doc in types)
    return "\n".join(
        [
            "## Topics\n",
            "MQTT 5 only. A device publishes and subscribes below its own name and nothing else.\n",
            table(("topic", "published by"), rows),
            "## Content types on `up`\n",
            "The content type is an MQTT property of the message. Messages without sequence numbers are kept once "
            "for each series and time.\n",
            table(("content type", "holds"), told),
        ]
    )


def _values() -> str:
    kinds = ((str(int(kind)), kind.name.lower(), rest) for kind, rest in layout.KINDS.items())
    tags = (
        (str(tag), meaning)
        for tag, meaning in (
            (cbor.UINT8, "unsigned bytes"),
            (cbor.SINT8, "signed, 8 bits"),
            (cbor.SINT16_LE, "signed, 16 bits, little-endian"),
            (cbor.SINT32_LE, "signed, 32 bits, little-endian"),
            (cbor.SINT64_LE, "signed, 64 bits, little-endian"),
            (cbor.FLOAT64_LE, "IEEE 754 binary64, little-endian"),
        )
    )
    states = member_docs(clock.ClockState)
    return "\n".join(
        [
            "### Kinds of values\n",
            table(("number", "kind", "what follows it"), kinds),
            "### Typed arrays\n",
            "Byte strings with a tag of RFC 8746. Integers travel in the narrowest that holds them all; readers take "
            "any width.\n",
            table(("tag", "elements"), tags),
            "### States of a clock\n",
            table(
                ("number", "state", "meaning"),
                ((str(int(state)), state.name.lower(), states[state.name]) for state in clock.ClockState),
            ),
        ]
    )


def _codes() -> str:
    return "\n".join(
        [
            "## Reject codes\n",
            "Why the server refuses a message for good. The bytes go to the dead letters, the code to the device.\n",
            table(("code", "meaning"), ((f"`{code.value}`", code.meaning) for code in RejectCode)),
            "## Reasons of drops\n",
            "Why a device gives up samples that it had accepted.\n",
            table(("reason", "meaning"), ((f"`{reason.value}`", reason.meaning) for reason in DropReason)),
        ]
    )


def _names() -> str:
    rows = [
        ("device", f"`{identifiers.DEVICE_ID_PATTERN}`: CN of the certificate, MQTT username and client id at once"),
        ("series", f"`{identifiers.SERIES_NAME_PATTERN}`, unique with its unit within a device"),
        ("epoch", f"{identifiers.EPOCH_BYTES} random bytes, made with the outbox"),
        ("boot", f"{identifiers.BOOT_ID_BYTES} bytes that the kernel makes at each boot"),
        ("nonce", f"{session.NONCE_BYTES} random bytes"),
        ("unit", "a UCUM code of 1 to 32 printable ASCII signs without spaces"),
    ]
    return "\n".join(
        [
            "## Identifiers\n",
            table(("name", "form"), rows),
            "## Limits\n",
            table(("what", "limit"), LIMITS),
            "## Units\n",
            "Any UCUM code may be sent; these are the ones that the drivers of this project use.\n",
            table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in units.KNOWN.items())),
        ]
    )


def wire_contract() -> str:
    """The page on what travels between device and server."""
    layouts = {item.title: _layout(item) for item in layout.LAYOUTS}
    after = layout.SERIES.title
    parts = [part + "\n" + _values() if title == after else part for title, part in layouts.items()]
    intro = (
        "# Wire contract\n\nWhat travels between a device and the server. All times are nanoseconds; keys that a "
        "reader does not know are passed over.\n"
    )
    log = f"## Lines of log\n\nContent type `{device_log.LOG_CONTENT_TYPE}`. {inspect.getdoc(device_log)}\n"
    return "\n".join([NOTE, intro, _topics(), "## Messages\n", *parts, log, _codes(), _names()])


def qualities() -> str:
    """The page on the qualities of samples."""
    meanings = member_docs(quality.Quality)
    head = ("code", "label", "meaning")
    rows = [(str(int(one)), f"`{one.label}`", meanings[one.name], one.has_value) for one in quality.Quality if one]
    parts = [
        NOTE,
        "# Qualities\n",
        "How far a sample can be trusted. The labels are those of the API and of exports, the codes travel in "
        "[batches](wire-contract.md). A good sample has code 0, which is neither sent nor shown. "
        "[What qualities say](../explanation/qualities.md) tells who sets them and where they show.\n",
        "## Marks of a value\n",
        table(head, (row[:3] for row in rows if row[3])),
        "## Samples without a value\n",
        f"Codes from {quality.FIRST_ABSENT} on, also those that are not in this table yet.\n",
        table(head, (row[:3] for row in rows if not row[3])),
    ]
    return "\n".join(parts)


def agent_configuration() -> str:
    """The page on the agent's configuration file."""
    head = ("setting", "type", "default", "meaning")
    parts = [
        NOTE,
        "# Configuration of the agent\n",
        "One TOML file. A setting `a.b` is the key `b` in the table `[a]`; `bus` and `sensor` are lists, `[[bus]]` and "
        "`[[sensor]]`. Unknown keys are errors. `wayside-edge sample-config` writes a file with all of it.\n",
        table(head, _settings(config.AgentSettings)),
    ]
    for kind, settings in BUS_KINDS.items():
        parts += [f"## A bus of kind `{kind}`\n", "Further keys of its `[[bus]]`.\n", table(head, _settings(settings))]
    parts += [
        "## A bus of kind `simulated`, `simulated-spi` or `simulated-uart`\n",
        "A bus with simulated chips instead of real ones; it comes with `wayside[firmware]`. `wayside-fw board` prints "
        "a configuration of one. Each chip is a `[[bus.chips]]`. Further keys of its `[[bus]]`.\n",
        table(head, _settings(BoardSettings)),
        "## A bus of kind `simulated-gpio`\n",
        "GPIO lines with levels and pulses; it comes with `wayside[firmware]`. Each line is a `[[bus.lines]]`.\n",
        table(head, _settings(GpioBoardSettings)),
        "## A bus of kind `simulated-modbus`\n",
        "Modbus devices with values; it comes with `wayside[firmware]`. Each block is a `[[bus.blocks]]`.\n",
        table(head, _settings(ModbusBoardSettings)),
    ]
    for kind, module in sorted(registry.DRIVERS.items()):
        driver: DriverKind = importlib.import_module(module).KIND
        rows = _settings(driver.settings)
        parts.append(f"## A sensor of kind `{kind}`\n")
        parts.append(_about(driver))
        parts.append(
            f"Further keys of its `[[sensor]]`.\n\n{table(head, rows)}" if rows else "It has no further keys.\n"
        )
    return "\n".join(parts)


def _about(kind: DriverKind) -> str:
    where = f" On a bus of family {' or '.join(f'`{family}`' for family in kind.families)}." if kind.families else ""
    rows = [(f"`{item.name}`", item.unit, f"{item.low:g} to {item.high:g}", item.accuracy) for item in kind.quantities]
    gives = table(("series", "unit", "range", "accuracy"), rows) if rows else ""
    return f"{kind.title}.{where}\n\n{gives}"


def _settings(cls: type) -> list[tuple[str, ...]]:
    return [(f"`{name}`", kind, f"`{default}`", meaning) for name, kind, default, meaning in describe(cls)]


def server_settings() -> str:
    """The page on the server's settings."""
    intro = (
        "# Settings of the server\n\n`server.toml` in the installation's folder. `wayside-server init` writes the ones "
        "that differ between installations; after a change of `broker.*`, run it again to renew the broker's "
        "configuration.\n"
    )
    return "\n".join([NOTE, intro, table(("setting", "type", "default", "meaning"), _settings(ServerSettings))])


def commands() -> str:
    """The page on the commands, from their parsers."""
    parsers = [
        edge_command.parser(),
        server_command.parser(),
        firmware_command.demo_parser(),
        firmware_command.firmware_parser(),
    ]
    intro = (
        "# Commands\n\nEach says this itself with `--help`. The exit status is 0 when all is well, 78 when a person "
        "must act (a setting, a file or a token is wrong; a restart would not help), 75 or 1 for other failures.\n"
    )
    return "\n".join([NOTE, intro, *(part for parser in parsers for part in _command(parser, 2))])


def _command(parser: argparse.ArgumentParser, depth: int) -> Iterator[str]:
    rows, inner = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            inner = [(told.get(name, ""), sub) for name, sub in action.choices.items()]
        elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            rows.append(_option(parser, action))
    if depth == 2:
        yield f"## {parser.prog}\n\n{parser.description}\n"
    if rows:
        yield table(("argument", "meaning"), rows)
    for about, sub in inner:
        if not any(isinstance(action, argparse._SubParsersAction) for action in sub._actions):
            yield f"### `{sub.prog}`\n\n{about[:1].upper()}{about[1:]}.\n"
        yield from _command(sub, depth + 1)


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str]:
    value = "" if action.nargs == 0 else str(action.metavar or "")
    if not value and action.nargs != 0:
        value = " or ".join(map(str, action.choices)) if action.choices is not None else action.dest.upper()
    names = ", ".join(action.option_strings)
    meaning = (action.help or "") % {**vars(action), "prog": parser.prog}
    return f"`{f'{names} {value}'.strip()}`", meaning


PAGES: dict[str, Callable[[], str]] = {
    "wire-contract.md": wire_contract,
    "qualities.md": qualities,
    "agent-configuration.md": agent_configuration,
    "server-settings.md": server_settings,
    "commands.md": commands,
    "module-abi.md": partial(reference_modules.module_interface, NOTE),
    "rest.md": partial(reference_server.rest, NOTE),
    "permissions.md": partial(reference_server.permissions, NOTE),
    "metrics.md": partial(reference_server.metrics, NOTE),
}
"""File names in docs/reference/ and what writes them."""


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
