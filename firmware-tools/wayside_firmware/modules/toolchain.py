"""Building a module with the compiler of its language. Those compilers are not ours: what is missing is named."""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from wasmtime import WasmtimeError, wat2wasm

from wayside_firmware.modules.project import PRELUDE, language_of
from wayside_shared.errors import ConfigError, WaysideError

RUST_TARGET: Final = "wasm32-unknown-unknown"
STACK_BYTES: Final = 16384
"""Of C and Rust in linear memory, instead of their 64 KiB and 1 MiB: each instance has it, and a block lies outside."""
TIMEOUT_S: Final = 300.0
"""npm fetches its packages within this on a slow line; the compilers take seconds."""


class BuildError(WaysideError):
    """The compiler refused the source; the message has what it said."""


def build(folder: Path, output: Path | None = None) -> Path:
    """Compile the module in `folder`; the file written, `<name of the folder>.wasm` in it unless `output` says else.

    The same source and compiler give the same bytes.

    Raises:
        ConfigError: there is no source, or no compiler; the message says what to type.
        BuildError: the compiler refused the source.
    """
    language = language_of(folder)
    target = output or folder / f"{folder.resolve().name}.wasm"
    BUILDERS[language.name](folder, folder / language.source, target)
    return target


def _c(_folder: Path, source: Path, target: Path) -> None:
    clang = _tool("clang", "apt install clang lld")
    _tool("wasm-ld", "apt install lld", _llvm_folder(clang))
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-mbulk-memory", "-Wall", "-Wextra", "-Wno-unused-function"]
    link = ["-Wl,--no-entry", "-Wl,--strip-all", f"-Wl,-z,stack-size={STACK_BYTES}"]
    _run([clang, *flags, "-I", str(PRELUDE), *link, "-o", str(target), str(source)])


def _rust(_folder: Path, source: Path, target: Path) -> None:
    fix = f"apt install rustc libstd-rust-dev-wasm32 lld, or rustup target add {RUST_TARGET}"
    rustc = _rustc(fix)
    options = ["opt-level=s", "panic=abort", "lto", "strip=symbols", f"link-arg=-zstack-size={STACK_BYTES}"]
    # Debian's compiler brings no linker of its own.
    linker = shutil.which("wasm-ld")
    if linker is not None:
        options.append(f"linker={linker}")
    codegen = [part for option in options for part in ("-C", option)]
    what = ["--edition", "2021", "--target", RUST_TARGET, "--crate-type", "cdylib"]
    _run([rustc, *what, *codegen, "-o", str(target), str(source)])


def _rustc(fix: str) -> str:
    """A compiler that has the target: the one of rustup may not, where that of the distribution does."""
    for candidate in (shutil.which("rustc"), "/usr/bin/rustc"):
        if candidate is None or not Path(candidate).exists():
            continue
        command = [candidate, "--print", "target-libdir", "--target", RUST_TARGET]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=TIMEOUT_S
        )
        if done.returncode == 0 and any(Path(done.stdout.decode().strip()).glob("libcore-*")):
            return candidate
    raise ConfigError(f"no Rust compiler for {RUST_TARGET}; type: {fix}")


def _assemblyscript(folder: Path, source: Path, target: Path) -> None:
    compiler = folder / "node_modules" / ".bin" / "asc"
    if not compiler.exists():
        npm = _tool("npm", "apt install npm")
        _run([npm, "ci", "--no-audit", "--no-fund", "--prefix", str(folder)])
    options = ["-O3", "--runtime", "minimal", "--use", "abort=", "--baseDir", str(folder.resolve())]
    _run([str(compiler.resolve()), source.name, *options, "-o", str(target.resolve())])


def _wat(_folder: Path, source: Path, target: Path) -> None:
    try:
        target.write_bytes(bytes(wat2wasm(source.read_text(encoding="utf-8"))))
    except WasmtimeError as error:
        raise BuildError(f"{source}: {error}") from error


BUILDERS: Final[Mapping[str, Callable[[Path, Path, Path], None]]] = {
    "c": _c,
    "rust": _rust,
    "assemblyscript": _assemblyscript,
    "wat": _wat,
}


def _tool(name: str, fix: str, beside: Path | None = None) -> str:
    found = shutil.which(name) or (None if beside is None else shutil.which(name, path=beside))
    if found is None:
        raise ConfigError(f"{name} is not installed; type: {fix}")
    return found


def _llvm_folder(clang: str) -> Path:
    return Path(clang).resolve().parent


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} did not end within {TIMEOUT_S:g} s") from error
    if done.returncode != 0:
        raise BuildError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace').strip()}")
