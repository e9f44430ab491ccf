"""Settings: every mistake names its line and its fix."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from wayside_shared.errors import ConfigError
from wayside_shared.settings import Table, describe, from_table, from_toml, remainder, setting, to_sample


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Leaf:
    column: str = setting("A column.", sample="a")
    factor: float = setting("A factor.", 1.0, minimum=0.5, maximum=2.0)


@dataclass(frozen=True, slots=True)
class Branch:
    name: str = setting("A name.", sample="b", pattern="[a-z]+")
    leaves: list[Leaf] = setting("Leaves.", factory=list)
    options: Table = remainder("The rest.")


@dataclass(frozen=True, slots=True)
class Options:
    depth: int = setting("A depth.", 3, choices=(1, 3, 9))


@dataclass(frozen=True, slots=True)
class Root:
    host: str = setting("A host.", sample="example")
    port: int = setting("A port.", 8883, minimum=1, maximum=65535)
    colour: Colour = setting("A colour.", Colour.RED)
    path: Path = setting("A path.", Path("/x"))
    words: list[str] = setting("Words.", factory=list)
    limit: int | None = setting("A limit.", None)
    branch: list[Branch] = setting("Branches.", factory=list)


def read(text: str) -> Root:
    return from_toml(Root, text, "edge.toml")


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_values_arrive_with_their_types() -> None:
    root = read('host = "h"\ncolour = "blue"\npath = "/y"\nwords = ["a"]\nlimit = 4\n[[branch]]\nname = "x"\n')
    assert (root.host, root.colour, root.path, root.words, root.limit) == ("h", Colour.BLUE, Path("/y"), ["a"], 4)
    assert root.branch[0].name == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('host = "h"\nprot = 1\n', "edge.toml:2: unknown key 'prot'; did you mean 'port'?"),
        ('host = "h"\n\nport = "1"\n', "edge.toml:3: port = '1': must be integer"),
        ('host = "h"\nport = true\n', "edge.toml:2: port = True: must be integer"),
        ('host = "h"\nport = 0\n', "edge.toml:2: port = 0: must be at least 1 and at most 65535"),
        (
            'host = "h"\ncolour = "bleu"\n',
            'edge.toml:2: colour = "bleu": must be one of "red", "blue"; did you mean \'blue\'?',
        ),
        ('host = "h"\nwords = "a"\n', "edge.toml:2: 'words' must be a list"),
        ('host = "h"\nbranch = 1\n', "edge.toml:2: 'branch' must be tables: [[branch]]"),
        ('host = "h"\nbranch = ["x"]\n', "edge.toml:2: 'branch' must be tables: [[branch]]"),
        ('host = "h"\n[[branch]]\nname = "X1"\n', "edge.toml:3: name = 'X1': must match [a-z]+"),
        ("port = 1\n", "edge.toml: 'host' is missing: A host."),
        ('host = "h"\n[[branch]]\n', "edge.toml:2: 'name' is missing: A name."),
        (
            'host = "h"\n[[branch]]\nname = "a"\n[[branch]]\nname = "b"\n[[branch.leaves]]\ncolum = "x"\n',
            "edge.toml:7: unknown key 'colum'; did you mean 'column'?",
        ),
        (
            'host = "h"\n[[branch]]\nname = "a"\nleaves = [{column = "x", factor = 9.0}]\n',
            "edge.toml:4: factor = 9.0: must be at least 0.5 and at most 2.0",
        ),
        (
            'host = "h"\n[[branch]]\nname = "a"\n[[branch.leaves]]\ncolumn = "x"\nfactor = nan\n',
            "edge.toml:6: factor = nan: must be a finite number",
        ),
    ],
)
def test_mistakes_name_line_and_fix(text: str, expected: str) -> None:
    assert complaint(text) == expected


def test_broken_toml_names_its_line() -> None:
    assert complaint('host = "h"\nport = = 2\n') == "edge.toml:2: not TOML at column 8: Invalid value"
    assert complaint('host = "h"\nport =') == "edge.toml: not TOML at end of document: Invalid value"


def test_the_rest_of_a_table_is_read_later_with_its_lines() -> None:
    root = read('host = "h"\n[[branch]]\nname = "a"\ndepth = 9\n')
    assert from_table(Options, root.branch[0].options).depth == 9


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dept = 9", "edge.toml:4: unknown key 'dept'; did you mean 'depth'?"),
        ("depth = 2", "edge.toml:4: depth = 2: must be one of 1, 3, 9"),
    ],
)
def test_mistakes_in_the_rest_name_their_line(line: str, expected: str) -> None:
    root = read(f'host = "h"\n[[branch]]\nname = "a"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        from_table(Options, root.branch[0].options)
    assert str(caught.value) == expected


def test_the_sample_parses_back() -> None:
    root = read(to_sample(Root, "A heading"))
    assert root.host == "example"
    assert root.branch[0].leaves[0].column == "a"


@dataclass(frozen=True, slots=True)
class Limited:
    address: int = setting("An address.", 0x48, choices=(0x48, 0x49), hexadecimal=True)
    second: int | None = setting("Another.", None, minimum=0x03, maximum=0x77, hexadecimal=True)
    share: float = setting("A share.", 0.5, minimum=0.0)
    colour: Colour = setting("A colour.", Colour.RED)
    free: str = setting("A text.", "x")


def test_the_reference_and_the_sample_tell_what_is_allowed() -> None:
    assert [row[:3] for row in describe(Limited)] == [
        ("address", "integer: 0x48, 0x49", "0x48"),
        ("second", "integer: 0x03 to 0x77", "none"),
        ("share", "number: at least 0.0", "0.5"),
        ("colour", '"red" or "blue"', '"red"'),
        ("free", "text", '"x"'),
    ]
    lines = to_sample(Limited).splitlines()
    assert lines[:3] == ["# An address.", "# Allowed: 0x48, 0x49.", "# address = 0x48"]
    told = [line for line in lines if line.startswith("# Allowed")]
    assert told[1:] == ["# Allowed: 0x03 to 0x77.", "# Allowed: at least 0.0.", '# Allowed: "red" or "blue".']


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("address = 0x99", "edge.toml:1: address = 0x99: must be one of 0x48, 0x49"),
        ("second = 0x99", "edge.toml:1: second = 0x99: must be at least 0x03 and at most 0x77"),
        ('colour = "green"', 'edge.toml:1: colour = "green": must be one of "red", "blue"'),
    ],
)
def test_a_message_shows_a_value_as_the_field_writes_it_and_the_choices_once(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(Limited, text, "edge.toml")
    assert str(caught.value).split("; did you mean")[0] == said


def test_the_reference_lists_every_key() -> None:
    assert [row[0] for row in describe(Root)] == [
        "host",
        "port",
        "colour",
        "path",
        "words",
        "limit",
        "branch.name",
        "branch.leaves.column",
        "branch.leaves.factor",
    ]


@pytest.mark.parametrize("text", ["x = " + "[" * 5000 + "]" * 5000, "x = " + "9" * 5000, "ratio = " + "9" * 400])
def test_what_no_person_writes_is_one_line_all_the_same(text: str) -> None:
    @dataclass(frozen=True, slots=True)
    class Ratio:
        ratio: float = setting("A ratio.", 1.0)

    with pytest.raises(ConfigError) as caught:
        from_toml(Ratio, text, "edge.toml")
    assert str(caught.value).startswith("edge.toml")
