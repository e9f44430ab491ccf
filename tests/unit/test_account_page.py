"""The page on the account explains every field of it."""

import re
from pathlib import Path

import pytest

from wayside_server.api.answers import AccountAnswer, DuplicatesCounted

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "exactly-once.md"
FIELDS = [*AccountAnswer.model_fields, *DuplicatesCounted.model_fields]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_account_is_explained(field: str) -> None:
    text = PAGE.read_text()
    rows = {row.strip() for row in re.findall(r"^\| ([a-z ]+) \|", text, re.MULTILINE)}
    assert field.replace("_", " ") in rows or f"`{field}`" in text


def test_no_word_of_the_account_is_made_up() -> None:
    table = PAGE.read_text().partition("## When does a sample")[0].partition("## Where to look")[0]
    rows = {row.strip().replace(" ", "_") for row in re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)}
    assert rows - {"word"} <= set(FIELDS)
