"""Settings of the batcher."""

from dataclasses import dataclass

from wayside_shared.batch import MAX_SAMPLES
from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """`[batch]`: a batch closes as soon as one of these is reached."""

    max_age_s: float = setting(
        "Age of its first sample in seconds: what a power cut may cost, and the delay before it is sent.",
        10.0,
        minimum=0.05,
        maximum=3600.0,
    )
    max_samples: int = setting("Samples in one batch.", 500, minimum=1, maximum=MAX_SAMPLES // 2)
    max_bytes: int = setting("Bytes in one batch before it is deflated.", 64 * 1024, minimum=1024, maximum=192 * 1024)
