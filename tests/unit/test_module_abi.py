import pytest

from wayside_shared.module_abi import (
    IMPORTS,
    MEMORY,
    OPTIONAL,
    REQUIRED,
    Import,
    faults,
    place,
    settings_text,
    type_text,
)

WHOLE = {MEMORY: "memory", **{each.name: each.type for each in (*REQUIRED, *OPTIONAL)}}


def test_a_whole_module_conforms_whatever_else_it_exports() -> None:
    imports = [Import("wayside", each.name, each.type) for each in IMPORTS]
    assert list(faults({**WHOLE, "__heap_base": "global"}, imports)) == []


def test_what_is_optional_may_be_left_out() -> None:
    required = {MEMORY: "memory", **{each.name: each.type for each in REQUIRED}}
    assert list(faults(required, [])) == []


@pytest.mark.parametrize("name", [MEMORY, *(each.name for each in REQUIRED)])
def test_what_is_missing_is_named(name: str) -> None:
    exports = {key: value for key, value in WHOLE.items() if key != name}
    (said,) = faults(exports, [])
    assert name in said


@pytest.mark.parametrize("name", WHOLE)
def test_another_type_is_a_fault(name: str) -> None:
    (said,) = faults({**WHOLE, name: "(f64) -> f64"}, [])
    assert name in said


def test_foreign_imports_are_named() -> None:
    imports = [
        Import("env", "abort", "() -> ()"),
        Import("wayside", "open", "() -> ()"),
        Import("wayside", "log", "(i32) -> ()"),
    ]
    assert list(faults(WHOLE, imports)) == [
        "it imports env.abort, which the interface does not have",
        "it imports wayside.open, which the interface does not have",
        "it imports wayside.log as (i32) -> (), not (i32, i32, i32) -> ()",
    ]


def test_types_and_places_are_written_and_read_as_the_page_says() -> None:
    assert type_text(["i32", "i32"], ["i64"]) == "(i32, i32) -> i64"
    assert type_text([], []) == "() -> ()"
    assert place(0x1234_0000_0010) == (0x1234, 0x10)


def test_settings_become_sorted_lines() -> None:
    text = settings_text({"b": True, "a": 1, "c": 0.25, "d": "ä b=c", "e": False})
    assert text.decode() == "a=1\nb=true\nc=0.25\nd=ä b=c\ne=false\n"
    assert settings_text({}) == b""
    assert settings_text({"a": 1e-7, "b": -2.5e20}).decode() == "a=0.0000001\nb=-250000000000000000000\n"


@pytest.mark.parametrize("settings", [{"a=b": 1}, {"": 1}, {"a": "b\nc"}, {"a\n": 1}, {"a": float("inf")}])
def test_settings_that_cannot_be_lines_are_refused(settings: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(ValueError, match="setting"):
        settings_text(settings)
