"""What happens to stages."""

import logging
from dataclasses import dataclass

from wayside_edge.health.events import Event


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """A stage begins to work, for the first time since the agent did."""

    origin = "wayside_edge.acquisition.stage"
    line = "stage {stage} runs {file}, {digest}"
    stage: str
    file: str
    digest: str


@dataclass(frozen=True, slots=True)
class StageUnfed(Event):
    """No series came that an input of a stage names."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.WARNING
    line = "stage {stage} got nothing for {inputs} so far: no series has that name; see: wayside-edge check-config"
    stage: str
    inputs: str


@dataclass(frozen=True, slots=True)
class StageFailing(Event):
    """A stage began to fail, or fails for another reason; the samples that it was to work on are not concerned."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.WARNING
    line = "stage {stage} failed: {cause}"
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class StageRecovered(Event):
    """A stage that failed gives results again."""

    origin = "wayside_edge.acquisition.stage"
    line = "stage {stage} works again after {failures} failure{failures_s}"
    stage: str
    failures: int


@dataclass(frozen=True, slots=True)
class StageQuarantined(Event):
    """A stage failed again and again and is left alone for a while."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.ERROR
    line = "stage {stage} failed {failures} times in a row and is left alone for {seconds:g} s: {cause}"
    stage: str
    failures: int
    seconds: float
    cause: str


@dataclass(frozen=True, slots=True)
class StageBehind(Event):
    """A stage is slower than what it is to work on comes in: the oldest of that is given up."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.WARNING
    line = "stage {stage} is behind and will not see some readings; they are sent all the same"
    stage: str


@dataclass(frozen=True, slots=True)
class StageHappened(Event):
    """A module or a model says that something happened; the server gets it as a sample of the stage's `event`."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.WARNING
    line = "stage {stage}: {text_of_it}"
    stage: str
    text_of_it: str


@dataclass(frozen=True, slots=True)
class StageStateRefused(Event):
    """A module cannot go on from what was kept, and begins anew."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.WARNING
    line = "stage {stage} begins anew, because it refuses the state that was kept: {cause}"
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class StageSwapped(Event):
    """A stage goes on with another file or other settings."""

    origin = "wayside_edge.acquisition.stage"
    line = "stage {stage} goes on with {file} (SHA-256 {sha256}…) and its new settings; {state}"
    stage: str
    file: str
    sha256: str
    state: str


@dataclass(frozen=True, slots=True)
class StageSwapRefused(Event):
    """The new file of a stage cannot be used; the one before stays at work."""

    origin = "wayside_edge.acquisition.stage"
    level = logging.ERROR
    line = "stage {stage} stays as it was, because {file} with its new settings does not work: {cause}"
    stage: str
    file: str
    cause: str
