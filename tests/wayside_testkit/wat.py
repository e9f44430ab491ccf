"""Modules as text: a whole small one, and the parts that a bad one replaces."""

ABI = '(func (export "wayside_abi") (result i32) i32.const 1)'
ALLOC = '(func (export "wayside_alloc") (param i32) (result i32) i32.const 4096)'
PROCESS = """(func (export "wayside_process") (param $at i32) (param $bytes i32) (result i64)
  (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32)) (i64.extend_i32_u (local.get $bytes))))"""
MEMORY = '(memory (export "memory") 2)'
SPIN = "(loop $on (br $on)) (unreachable)"


def module(
    *more: str, abi: str = ABI, alloc: str = ALLOC, process: str = PROCESS, memory: str = MEMORY, imports: str = ""
) -> str:
    """A module that gives back what it is given, with other parts where they are named."""
    return "\n".join(["(module", imports, memory, abi, alloc, process, *more, ")"])


def processing(body: str, *more: str, imports: str = "", memory: str = MEMORY) -> str:
    """A module whose wayside_process has this body; $at and $bytes are the block."""
    process = f'(func (export "wayside_process") (param $at i32) (param $bytes i32) (result i64) {body})'
    return module(*more, process=process, imports=imports, memory=memory)
