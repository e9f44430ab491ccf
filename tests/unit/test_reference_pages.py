"""The committed reference pages are what the code says today."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import reference_server

ROOT = Path(__file__).parents[2]


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _generator()


@pytest.mark.parametrize("name", REFERENCE.PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE.FOLDER / name).read_text() == REFERENCE.PAGES[name](), "type: make docs"


def test_links_within_a_page_lead_to_a_heading() -> None:
    page = REFERENCE.PAGES["rest.md"]()
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= headings


def test_every_metric_says_what_it_is() -> None:
    metrics = reference_server.every_metric()
    assert len(metrics) > 10
    assert [metric._name for metric in metrics if not metric._documentation.endswith(".")] == []
    assert [metric._name for metric in metrics if not metric._name.startswith("wayside_")] == []


def test_no_page_is_left_over() -> None:
    assert {path.name for path in REFERENCE.FOLDER.iterdir()} == set(REFERENCE.PAGES)
