"""What the pages on sensors and drivers show is what there is."""

import re
from pathlib import Path

import pytest

from wayside_edge import config
from wayside_edge.__main__ import main, parser
from wayside_edge.commands import scan

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
WIRE, WRITE = PAGES / "wire-a-sensor.md", PAGES / "write-a-driver.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [WIRE, WRITE], ids=lambda page: page.stem)
def test_every_command_is_one(page: Path) -> None:
    lines = "".join(blocks(page, "sh")).splitlines()
    typed = [line.partition(" >>")[0].split()[1:] for line in lines if line.startswith("wayside-edge ")]
    assert typed
    for words in typed:
        parser().parse_args(words)


def test_the_board_without_hardware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks(WIRE, "toml")
    file = tmp_path / "bench.toml"
    file.write_text(text)
    assert [sensor.name for sensor in config.load_board(file).sensor] == ["greenhouse"]
    assert scan.run(parser().parse_args(["scan", "--config", str(file)]), tmp_path) == 0
    shown = capsys.readouterr().out.splitlines()[1:]
    page = WIRE.read_text().splitlines()
    assert len(shown) == 2
    assert set(shown) <= set(page)
    assert main(["read", "greenhouse", "--config", str(file)]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert rows == ["temperature", "pressure", "humidity"]
