"""The reference page on the interface of WebAssembly modules, from the code that host and tools share."""

import inspect
from collections.abc import Iterable

from reference_server import table

from wayside_shared import module_abi, module_file, stage_block, stage_worker
from wayside_shared.quality import FIRST_ABSENT, Quality
from wayside_shared.stage_worker import Failure, Limits

KINDS = {"I": ("u32", 4), "q": ("i64", 8), "d": ("f64", 8)}
HEADER = (
    "version of the layout: {version}",
    "how many series",
    "how many readings",
    "how many bytes of text",
)
SERIES = (
    "where its name begins, in bytes from the begin of the text",
    "how many bytes it has",
    "where its unit, a UCUM code, begins",
    "how many bytes it has",
)
READING = (
    "time, in nanoseconds, on the clock that the block is on",
    "value; a NaN where there is none",
    "which series: its place in the table",
    "quality; from {absent} on there is no value",
)


def module_interface(note: str) -> str:
    """The page.

    Args:
        note: the line that every page begins with.
    """
    return "\n".join([note, *_intro(), *_exports(), *_imports(), *_block(), *_limits()])


def _intro() -> Iterable[str]:
    about = (inspect.getdoc(module_abi) or "").partition("\n\n")[2]
    yield f"# The interface of modules, version {module_abi.ABI_VERSION}\n"
    yield (
        "What a module of a WebAssembly stage exports and may import. A module is core WebAssembly without WASI, "
        "threads, 64-bit or several memories, garbage collection and exceptions; any other import is refused. "
        "[Write a module](../how-to/write-a-module.md) shows how it is used.\n"
    )
    yield f"{' '.join(about.split())} Everything is little-endian.\n"


def _functions(functions: Iterable[module_abi.Function]) -> str:
    return table(
        ("name", "type", "meaning"), ((f"`{each.name}`", f"`{each.type}`", each.meaning) for each in functions)
    )


def _exports() -> Iterable[str]:
    yield "## Exports\n"
    yield f"Its memory as `{module_abi.MEMORY}`, and these functions:\n"
    yield _functions(module_abi.REQUIRED)
    yield "These if it needs them:\n"
    yield _functions(module_abi.OPTIONAL)
    yield (
        "A begin: the start function, `wayside_abi`, `wayside_configure`, `wayside_restore`, `wayside_save`, "
        "`wayside_reset`. A block: `wayside_alloc`, `wayside_process`, `wayside_save`, `wayside_reset`. After a "
        "failure no function is called again: the next instance begins with what was kept after the last good block.\n"
    )
    yield "### Settings of the host\n"
    yield ("Names that begin with `wayside.` are the host's; a module passes over those that it does not know.\n")
    rows = [
        ("`wayside.clock`", "`boot` or `utc`: the clock of its blocks. Each clock has an instance of its own"),
        ("`wayside.inputs`", "the names of its input series, in the order of the configuration, with commas between"),
        ("`wayside.rebooted`", "`true` when what `wayside_restore` will get is of another boot: boot time began anew"),
    ]
    yield table(("key", "value"), rows)


def _imports() -> Iterable[str]:
    yield "## Imports\n"
    yield f"From `{module_abi.IMPORT_MODULE}`, both optional:\n"
    yield _functions(module_abi.IMPORTS)
    yield (
        f"For one block the host keeps {stage_worker.MAX_EVENTS} events and as many lines, "
        f"{stage_worker.MAX_LINE_BYTES:,} bytes each, and counts what is over it. Signs that cannot be printed become "
        "spaces. The last line at level 40 stands in the failure when the module then refuses or traps.\n"
    )


def _fields(layout: str, meanings: Iterable[str]) -> str:
    rows, at = [], 0
    for kind, meaning in zip(layout.lstrip("<"), meanings, strict=True):
        name, size = KINDS[kind]
        told = meaning.format(version=stage_block.BLOCK_VERSION, absent=FIRST_ABSENT)
        rows.append((str(at), f"`{name}`", told))
        at += size
    return table(("byte", "type", "meaning"), rows)


def _block() -> Iterable[str]:
    yield "## The block\n"
    yield (
        "Readings, going in and coming out. Header, then the table of series, then the readings, then the text in "
        "UTF-8, with nothing between or behind. At a multiple of 8 all of it is aligned.\n"
    )
    yield f"### Header, {stage_block.HEADER.size} bytes\n"
    yield _fields(stage_block.HEADER.format, HEADER)
    yield f"### A series, {stage_block.SERIES.size} bytes\n"
    yield _fields(stage_block.SERIES.format, SERIES)
    yield f"### A reading, {stage_block.READING.size} bytes\n"
    yield _fields(stage_block.READING.format, READING)
    yield (
        "Going in, a name is the whole name of a series (`greenhouse.temperature`); coming out, the name below that of "
        "the stage. A value that is no finite number, with a quality that does not say why, makes the block invalid. "
        "[Qualities](qualities.md) has all codes; these are what modules use most:\n"
    )
    used = (Quality.GOOD, Quality.PARTIAL, Quality.OUT_OF_RANGE, Quality.INVALID)
    yield table(("code", "label"), ((str(int(one)), f"`{one.label}`") for one in used))


def _limits() -> Iterable[str]:
    limits = Limits()
    yield "## Limits\n"
    rows = [
        ("fuel, about one for each instruction", f"{limits.fuel:,}, settable", Failure.FUEL),
        ("time", f"{limits.deadline_ms:,} ms, settable; stopped at most an eighth of it late", Failure.DEADLINE),
        ("memory of an instance", f"{limits.memory_bytes:,} bytes, settable", Failure.MEMORY),
        ("readings coming out", f"{limits.output_readings:,}, settable", Failure.OUTPUT),
        ("series of a block", f"{stage_block.MAX_BLOCK_SERIES:,}", Failure.OUTPUT),
        ("text of a block", f"{stage_block.MAX_TEXT_BYTES:,} bytes", Failure.OUTPUT),
        ("what is kept, of all instances", f"{stage_worker.MAX_STATE_BYTES:,} bytes less 128", Failure.OUTPUT),
        ("the file", f"{module_abi.MAX_MODULE_BYTES:,} bytes", Failure.FILE),
        ("its functions", f"{module_file.MAX_FUNCTIONS:,}", Failure.ABI),
        ("the largest of them", f"{module_file.MAX_BODY_BYTES:,} bytes", Failure.ABI),
        ("their variables together", f"{module_file.MAX_LOCALS:,}", Failure.ABI),
    ]
    yield table(
        ("what, for each block or for the begin", "limit", "over it"), ((a, b, f"`{c.value}`") for a, b, c in rows)
    )
    yield "## Failures\n"
    yield "How the agent names why a stage gave nothing.\n"
    yield table(("failure", "meaning"), ((f"`{each.value}`", each.meaning) for each in Failure))
