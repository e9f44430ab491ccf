"""`wayside-fw module`: each template becomes a module that runs, wherever its compiler is."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wayside_firmware.modules import library
from wayside_firmware.modules.inspection import inspect
from wayside_firmware.modules.project import LANGUAGES
from wayside_firmware.modules.rows import LONG
from wayside_shared.errors import EXIT_CONFIG
from wayside_shared.runtimes import install_command

REPOSITORY = Path(__file__).parents[2]
LIBRARY = Path(library.__file__).parent
LONG_ROWS = """series,unit,time,value,quality
pump.power,W,2026-01-01T00:00:00Z,100.5,
pump.power,W,2026-01-01T00:00:30.000001Z,200,unstable
pump.power,W,2026-01-01T00:01:00Z,,absent
"""
TOOLS = {"c": ("clang", "wasm-ld"), "rust": ("rustc", "wasm-ld"), "assemblyscript": ("npm",), "wat": ()}
NETWORK = "WAYSIDE_TEST_NPM"
"""Say 1 to let the test of AssemblyScript fetch its compiler, 100 MB."""


def _command(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wayside_firmware", "module", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, cwd=cwd)


def _rows(output: str) -> list[list[str]]:
    return [line.split(",") for line in output.splitlines() if not line.startswith("#")]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text(LONG_ROWS)
    return file


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_template_builds_conforms_and_runs(language: str, tmp_path: Path, rows: Path) -> None:
    missing = [tool for tool in TOOLS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if language == "assemblyscript" and not os.environ.get(NETWORK):
        pytest.skip(f"{NETWORK} is not set: its compiler would be fetched")
    folder = tmp_path / "scale"
    made = _command("new", "scale", "--language", language, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (folder / LANGUAGES[language].source).is_file()
    built = _command("build", folder)
    if language == "rust" and "no Rust compiler" in built.stderr:
        pytest.skip(built.stderr)
    assert built.returncode == 0, built.stderr
    file = folder / "scale.wasm"
    assert inspect(file).faults == []
    ran = _command("test", file, "--input", rows)
    assert ran.returncode == 0, ran.stderr
    name = "pump.power"
    assert _rows(ran.stdout) == [
        list(LONG),
        [name, "W", "2026-01-01T00:00:00Z", "201.0", ""],
        [name, "W", "2026-01-01T00:00:30.000001Z", "400.0", "unstable"],
        [name, "W", "2026-01-01T00:01:00Z", "", "absent"],
    ]
    assert "readings in: 3, out: 3" in ran.stdout
    assert re.search(r"memory of its process: \d+\.\d MB", ran.stdout)
    wrong = _command("test", file, "--input", rows, "--settings", "factor=much")
    assert wrong.returncode == 1
    assert ("has no settings" if language == "wat" else "the only setting is factor") in wrong.stderr


def test_settings_and_wide_rows_reach_a_module(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text("time,a.power [W],b.power (W),c\n0,3600,7200,1\n100,3600,,2\n")
    ran = _command("test", LIBRARY / "energy" / "energy.wasm", "--input", file, "--settings", "max_gap_s=200")
    assert ran.returncode == 0, ran.stderr
    assert _rows(ran.stdout)[1:] == [
        ["a.power.energy", "W.h", "1970-01-01T00:00:00Z", "0.0", ""],
        ["b.power.energy", "W.h", "1970-01-01T00:00:00Z", "0.0", ""],
        ["a.power.energy", "W.h", "1970-01-01T00:01:40Z", "100.0", ""],
    ]
    assert "# log 30: a series that is not in W gives no energy" in ran.stdout


def test_what_breaks_the_interface_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "module.wat").write_text('(module (import "env" "f" (func)) (memory (export "memory") 1))')
    built = _command("build", folder)
    assert built.returncode == 0
    assert "FAULT    it imports env.f, which the interface does not have" in built.stdout
    assert "FAULT    it does not export wayside_process(i32, i32) -> i64" in built.stdout
    shown = _command("inspect", folder / "bad.wasm")
    assert shown.stdout.splitlines() == built.stdout.splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "Ünï"), "cannot name a module"),
        (("new", "there"), "is there already"),
        (("build", "there"), "must have one of module.c"),
        (("inspect", "absent.wasm"), "No such file"),
        (("inspect", "rows.csv"), "is no WebAssembly file"),
        (("test", "rows.csv", "--input", "rows.csv"), "rows.csv is no WebAssembly file"),
        (("test", "rows.csv", "--input", "rows.csv", "--time-column", "x"), "no WebAssembly"),
        (
            ("test", "rows.csv", "--input", "wide.csv", "--time-column", "x"),
            "wide.csv:1: no column 'x'; it has when, a",
        ),
        (("test", "rows.csv", "--input", "wide.csv"), "--time-column names"),
        (("library", "enrgy"), "there are energy, humid_air, vibration"),
        (("library", "energy", "--out", "nowhere/x.wasm"), "cannot write nowhere/x.wasm: No such file"),
        (("library", "--out", "x.wasm"), "needs the NAME"),
        (("test", "rows.csv", "--input", "absent.csv"), "absent.csv: No such file"),
        (("test", "rows.csv", "--input", "bad.csv"), "bad.csv:3: 'absnt' is no quality"),
        (("test", "rows.csv", "--input", "empty.csv"), "the first line must be"),
    ],
)
def test_mistakes_are_named_with_the_file(arguments: tuple[str, ...], said: str, tmp_path: Path, rows: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "empty.csv").touch()
    (tmp_path / "wide.csv").write_text("when,a\n0,1\n")
    (tmp_path / "bad.csv").write_text(LONG_ROWS.replace("unstable", "absnt"))
    done = _command(*arguments, cwd=rows.parent)
    assert done.returncode == EXIT_CONFIG
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_times_may_stand_in_another_column(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    energy = library.built("energy")
    file.write_text("power [W],when\n3600,2026-01-01 00:00:00\n3600,2026-01-01 00:00:50\n")
    assert _rows(_command("test", energy, "--input", file, "--time-column", "when").stdout)[-1][3] == "50.0"
    file.write_text(file.read_text().replace("when", "timestamp"))
    assert _rows(_command("test", energy, "--input", file).stdout)[-1][3] == "50.0"


def test_the_library_is_listed_and_written(tmp_path: Path) -> None:
    listed = _command("library")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(
        each.name for each in LIBRARY.iterdir() if (each / "module.c").exists()
    )
    written = _command("library", "humid_air", cwd=tmp_path)
    file = tmp_path / "humid_air.wasm"
    assert file.read_bytes() == library.built("humid_air").read_bytes()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert written.stdout == f'wrote humid_air.wasm\nsha256 = "{digest}"\n'


def test_nothing_but_the_reason_is_printed_when_a_module_refuses_its_settings(tmp_path: Path, rows: Path) -> None:
    done = _command("test", library.built("energy"), "--input", rows, "--settings", "factor=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("wayside-fw: energy.wasm: it cannot work with what it was given: ")


@pytest.mark.parametrize(
    ("lacking", "arguments"),
    [
        ("wasmtime", ("module", "inspect", "energy.wasm")),
        ("wasmtime", ("module", "test", "energy.wasm", "--input", "rows.csv")),
        ("numpy", ("model", "inspect", "x.tflite")),
        ("numpy", ("model", "train", "--data", "x", "--series", "x", "--period", "1", "--out", "x")),
    ],
)
def test_a_missing_runtime_is_one_line_with_what_to_type(
    lacking: str, arguments: tuple[str, ...], tmp_path: Path, rows: Path
) -> None:
    library.write("energy", rows.parent / "energy.wasm")
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / f"{lacking}.py").write_text(
        f'raise ModuleNotFoundError("No module named {lacking!r}", name={lacking!r})\n'
    )
    command = [sys.executable, "-m", "wayside_firmware", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(absent)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=rows.parent, env=environment
    )
    assert (done.returncode, done.stdout) == (EXIT_CONFIG, "")
    assert done.stderr == f"wayside-fw: {lacking} is not installed; type: {install_command()}\n"


def test_the_example_of_the_page_gives_what_the_page_shows(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "write-a-module.md").read_text()
    table = re.search(r"cat > power.csv <<END\n(.*?)END\n", page, re.DOTALL)
    shown = re.search(
        r"```\n\$ wayside-fw module (library energy)\n(.*?)\$ wayside-fw module (test.*?)\n(.*?)```", page, re.DOTALL
    )
    assert table is not None
    assert shown is not None
    (tmp_path / "power.csv").write_text(table[1])
    assert _command(*shown[1].split(), cwd=tmp_path).stdout == shown[2]
    ran = _command(*shown[3].split(), cwd=tmp_path).stdout
    assert _rows(ran) == _rows(shown[4])
    fuel = [int(re.findall(r"fuel: ([\d,]+)", text)[0].replace(",", "")) for text in (ran, shown[4])]
    assert abs(fuel[0] - fuel[1]) < fuel[1] / 10, f"the page says {fuel[1]}, it is {fuel[0]}"


def test_a_missing_compiler_is_named_with_what_to_type(tmp_path: Path) -> None:
    _command("new", "scale", cwd=tmp_path)
    command = [sys.executable, "-m", "wayside_firmware", "module", "build", "scale"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": str(tmp_path)}, timeout=60
    )
    assert done.returncode == EXIT_CONFIG
    assert done.stderr == "wayside-fw: clang is not installed; type: apt install clang lld\n"


def test_a_source_that_does_not_compile_is_refused_with_what_the_compiler_said(tmp_path: Path) -> None:
    (tmp_path / "module.wat").write_text("(module (func $a)")
    done = _command("build", tmp_path)
    assert done.returncode == 1
    assert "module.wat" in done.stderr
    assert "Traceback" not in done.stderr
