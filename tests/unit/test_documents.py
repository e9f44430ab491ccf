"""What the documents promise about themselves."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def test_every_dependency_says_why_it_is_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups.extend(project["dependency-groups"].values())
    wanted = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for group in groups for requirement in group}
    text = (DECISIONS / "dependencies.md").read_text()
    assert {name for name in wanted if re.search(rf"\b{re.escape(name)}\b", text) is None} == set()


def test_every_decision_is_listed_under_its_number() -> None:
    pages = {path.name for path in DECISIONS.glob("[0-9]*.md")}
    listed = re.findall(r"\[(\d{4})\]\((\d{4}-[a-z0-9-]+\.md)\)", (DECISIONS / "README.md").read_text())
    assert {name for _, name in listed} == pages
    for number, name in listed:
        assert (DECISIONS / name).read_text().startswith(f"# {number} ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
