"""What is read of a module before it is compiled: what an engine sees, and of any bytes a refusal at worst."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Engine, FuncType, Module, wat2wasm

from wayside_shared.errors import RejectedError
from wayside_shared.module_abi import type_text
from wayside_shared.module_file import PREAMBLE, describe_module
from wayside_testkit.wat import module

RICH = """(module
  (import "wayside" "log" (func (param i32 i32 i32)))
  (import "env" "table" (table 1 5 funcref))
  (import "env" "base" (global $base (mut i64)))
  (memory (export "memory") 2 9)
  (table (export "elements") 3 funcref)
  (global (export "pi") f64 (f64.const 3.14))
  (func (export "vectors") (param v128 f32) (result i32 f64) (local i32 i64 i64) i32.const 1 f64.const 2)
  (func (export "two") (result i32 f64) i32.const 1 f64.const 2)
  (func (export "many") (param i64 f64) (local i32) nop)
  (func $begin nop) (start $begin)
  (elem declare func 1) (data (i32.const 0) "some data"))"""


def _type(found: object) -> str:
    if isinstance(found, FuncType):
        return type_text([str(each) for each in found.params], [str(each) for each in found.results])
    return type(found).__name__.removesuffix("Type").lower()


@pytest.mark.parametrize("text", [RICH, module(), "(module)"])
def test_it_reads_what_an_engine_does(text: str) -> None:
    data = bytes(wat2wasm(text))
    engine = Module(Engine(), data)
    file = describe_module(data)
    assert list(file.exports) == [each.name for each in engine.exports]
    # The library aborts the process when it is asked for the name of v128.
    seen = {each.name: _type(each.type) for each in engine.exports if each.name != "vectors"}
    assert {name: each for name, each in file.exports.items() if name != "vectors"} == seen
    assert file.exports.get("vectors") in (None, "(v128, f32) -> (i32, f64)")
    assert [tuple(each) for each in file.imports] == [
        (each.module, each.name, _type(each.type)) for each in engine.imports
    ]
    if text is RICH:
        assert (file.functions, file.locals) == (4, 4)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_described_or_refused(data: bytes) -> None:
    for each in (data, PREAMBLE + data):
        try:
            describe_module(each)
        except RejectedError:
            continue


def test_a_damaged_module_is_described_or_refused() -> None:
    draw, good = random.Random(7), bytes(wat2wasm(RICH))
    for _ in range(2000):
        data = bytearray(good[: draw.randrange(8, len(good) + 1)])
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            describe_module(bytes(data))
        except RejectedError:
            continue
