"""Settings of a stage."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wayside_shared.settings import Table, setting, whereabouts
from wayside_shared.stage_worker import Limits

MIB = 1024 * 1024


class StageKind(Enum):
    """What a stage runs."""

    WASM = "wasm"
    TFLITE = "tflite"


class OnSwap(Enum):
    """What becomes of the state that a module or model kept when another file takes its place."""

    KEEP = "keep"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class StageSettings:
    """`[[stage]]`."""

    name: str = setting(
        "Name of the stage; its series are named <stage>.<output>.",
        sample="comfort",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}",
    )
    kind: StageKind = setting("What it runs: a WASM module or a TFLite model.", StageKind.WASM, sample="wasm")
    file: Path = setting("The module or model.", sample="/etc/wayside/stages/humid_air.wasm")
    sha256: str = setting(
        "SHA-256 of that file, which wayside-fw prints; another file is refused.",
        pattern="[0-9a-f]{64}",
        sample="0" * 64,
    )
    inputs: list[str] = setting(
        "Series that it gets, of sensors and of stages above it in this file, or patterns such as greenhouse.*; a model"
        " takes them in this order.",
        sample=["greenhouse.temperature", "greenhouse.humidity"],
    )
    every_s: float = setting(
        "How old a reading may get before the stage is given it, in seconds.", 10.0, minimum=0.05, maximum=3600.0
    )
    samples: int = setting("Readings that it is given at most at a time.", 1000, minimum=1, maximum=20_000)
    deadline_s: float = setting(
        "Time that it may take for them, in seconds; one that takes twice as long is killed.",
        1.0,
        minimum=0.01,
        maximum=600.0,
    )
    fuel: int = setting(
        "Instructions that a module may use for them, roughly.", 100_000_000, minimum=1000, maximum=10**15
    )
    memory_mb: int = setting("Memory that it may use, in MiB.", 16, minimum=1, maximum=1024)
    outputs: int = setting("Readings that it may give at a time.", 4096, minimum=1, maximum=20_000)
    outputs_per_s: float = setting(
        "Readings that it may give a second over time, beside four for each that it is given; a text counts as one for"
        " each 16 bytes. One that gives more is stopped.",
        100.0,
        minimum=0.1,
        maximum=20_000.0,
    )
    on_swap: OnSwap = setting(
        "What becomes of its state when the configuration is read anew with another file.", OnSwap.KEEP
    )
    settings: Table = setting(
        "Settings of the module: texts, numbers, true or false. A module without settings, such as humid_air, refuses"
        " any; energy takes {max_gap_s = 60}.",
        factory=lambda: Table({}),
    )

    table: Table = whereabouts()

    @property
    def limits(self) -> Limits:
        """What its worker holds it to."""
        return Limits(
            fuel=self.fuel,
            deadline_ms=max(round(self.deadline_s * 1000), 1),
            memory_bytes=self.memory_mb * MIB,
            output_readings=self.outputs,
        )
