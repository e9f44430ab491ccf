"""What there is to say in words about what a model said of a recording."""

from collections.abc import Sequence

import numpy as np

from wayside_firmware.models.evaluation import Span, alarms, confusion, counted
from wayside_firmware.models.recording import Recorded, span_text, time_text
from wayside_firmware.models.training import LABEL_VALUES
from wayside_firmware.models.windows import periods_of
from wayside_firmware.models.worker import Run
from wayside_shared.clock import NS_PER_S
from wayside_shared.model_metadata import ModelKind, ModelMetadata


def since(found: Run, from_ns: int | None) -> Run:
    """What was said from `from_ns` on; all with None."""
    if from_ns is None:
        return found
    kept = found.times_ns >= from_ns
    values = {name: each[kept] for name, each in found.values.items()}
    return Run(found.times_ns[kept], values, found.events, found.used_us)


def figures(
    metadata: ModelMetadata, found: Run, labels: Recorded | None, windows: Sequence[Span] | None, from_ns: int | None
) -> Sequence[str]:
    """Lines about the time from `from_ns` on; one that begins with two blanks belongs to the one before.

    Args:
        metadata: of the model.
        found: what it said of all of the recording: an alarm goes on that began before.
        labels: what was so, for a classifier.
        windows: labelled anomalies; None where nobody has labelled any.
        from_ns: in UTC; None for all.
    """
    seen = since(found, from_ns)
    if not len(seen.times_ns):
        return ["the recording has no whole window" + ("" if from_ns is None else " from then on")]
    begin_ns = int(seen.times_ns[0])
    lines = [f"{len(seen.times_ns):,} windows, {span_text(begin_ns, int(seen.times_ns[-1]))}"]
    if metadata.kind is ModelKind.CLASSIFIER and labels is not None:
        lines += confusion(seen, labels, metadata.labels, label_texts(metadata), metadata.window.period_s).lines()
    if metadata.kind is ModelKind.AUTOENCODER:
        told = alarms(found.times_ns, found.values["anomaly"] > 0, windows or [], begin_ns)
        if windows is not None:
            return [*lines, *told.lines()]
        lines.append(f"{counted(len(told.false_alarms), 'alarm')}, those within 24 h counted once")
        lines += [f"  {time_text(at)}" for at in told.false_alarms]
    return lines


def learned_from(found: Run, until_ns: int | None) -> Sequence[str]:
    """Lines about the time that a model learned from, which say nothing of how good it is."""
    if until_ns is None:
        return ["all of this is what it learned from; evaluate it on something else"]
    scores = found.values.get("score")
    if scores is None or not (found.times_ns < until_ns).any():
        return []
    return [f"largest score over what it learned from: {scores[found.times_ns < until_ns].max():.4g}"]


def label_texts(metadata: ModelMetadata) -> Sequence[str]:
    """What stands for each label in the data that a classifier learned from."""
    return metadata.about.get(LABEL_VALUES, ",".join(metadata.labels)).split(",")


def gaps(series: Sequence[Recorded], period_s: float, from_ns: int | None) -> Sequence[str]:
    """A line about the periods without a reading, where there are any: they cost windows."""
    periods = periods_of(series, period_s, since_ns=from_ns)
    if not periods.empty:
        return []
    every_s = max(
        float(np.median(np.diff(np.sort(each.times_ns)))) / NS_PER_S for each in series if len(each.texts) > 1
    )
    return [f"{periods.line()}; readings come every {every_s:g} s, a period has {period_s:g} s"]
