"""What `wayside-edge check-config` finds out about stages before the agent meets them."""

import json
import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import pytest

from wayside_edge.__main__ import main
from wayside_shared.errors import EXIT_CONFIG

HOST = '[[sensor]]\nname = "pi"\nkind = "host"\n'
HUMID_AIR = Path(str(files("wayside_firmware") / "modules/library/humid_air/humid_air.wasm"))


def stage(name: str, file: Path, **more: object) -> str:
    values = {"name": name, "file": str(file), "inputs": ["pi.cpu_load"]} | more
    values.setdefault("sha256", sha256(file.read_bytes()).hexdigest() if file.exists() else "0" * 64)
    return "[[stage]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def test_check_config_has_each_stage_loaded_and_says_all_that_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, model = tmp_path / "edge.toml", tmp_path / "pump.tflite"
    model.write_bytes(b"\0\0\0\0TFL3 and more")
    stages = [
        stage("good", HUMID_AIR),
        stage("gone", tmp_path / "gone.wasm"),
        stage("other", HUMID_AIR, sha256="1" * 64),
        stage("model", model),
    ]
    file.write_text(HOST + "".join(stages))
    assert main(["check-config", "--config", str(file)]) == EXIT_CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.rpartition("stage '")[2].partition("'")[0] for line in lines] == ["gone", "other", "model"]
    assert all(re.match(rf"wayside-edge: {file}:\d+: stage '\w+' cannot run: ", line) for line in lines)
    assert "SHA-256" in lines[1]
    assert "it is a TFLite model; write kind = " in lines[2]


@pytest.mark.parametrize(
    ("inputs", "warned"),
    [
        (["pi.cpu_load"], None),
        (["pi.*"], None),
        (["*"], None),
        (["first.dew_point"], None),
        (["pi.cpu_laod"], "no sensor here and no stage above it gives 'pi.cpu_laod'"),
        (["outdoors.temperature"], "no sensor here and no stage above it gives 'outdoors.temperature'"),
        (["last.dew_point"], "gives 'last.dew_point'; a stage sees only what stands above it"),
    ],
)
def test_check_config_warns_of_inputs_that_nothing_can_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inputs: list[str], warned: str | None
) -> None:
    file = tmp_path / "edge.toml"
    stages = [stage("first", HUMID_AIR), stage("middle", HUMID_AIR, inputs=inputs), stage("last", HUMID_AIR)]
    file.write_text(HOST + "".join(stages))
    assert main(["check-config", "--config", str(file)]) == 0
    said = capsys.readouterr().err
    if warned is None:
        assert said == ""
    else:
        assert re.fullmatch(rf"wayside-edge: {file}:\d+: stage 'middle': a warning: .*{re.escape(warned)}\n", said)
