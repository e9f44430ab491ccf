import pytest

from wayside_server.storage.statements import load_statements, parse_statements


def test_statements_are_found_by_name_without_their_semicolon() -> None:
    found = parse_statements("-- What it is.\n\n-- name: one\nSELECT 1;\n\n-- name: two\n-- why\nSELECT 2;\n")
    assert dict(found) == {"one": "SELECT 1", "two": "-- why\nSELECT 2"}


@pytest.mark.parametrize("text", ["SELECT 0;\n-- name: one\nSELECT 1;", "-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;"])
def test_a_statement_without_a_name_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="statement"):
        parse_statements(text)


def test_our_files_load() -> None:
    assert "durability" in load_statements("database")
