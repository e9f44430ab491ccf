"""The committed reference pages are what the code says today."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

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


def test_no_page_is_left_over() -> None:
    assert {path.name for path in REFERENCE.FOLDER.iterdir()} == set(REFERENCE.PAGES)
