"""Settings of the watchdogs."""

from dataclasses import dataclass

from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """`[watchdog]`: what looks after the agent besides systemd, which needs no setting."""

    device: str = setting(
        "The board's watchdog: a device such as /dev/watchdog; auto, which takes that one where init itself started the"
        " agent, systemd does not watch it and nobody else has the device; or off.",
        "auto",
        pattern=r"auto|off|/[^\0]+",
    )
    timeout_s: int = setting(
        "After how long without a sign of life the watchdog resets the board, in seconds, as far as its hardware"
        " allows: 15 s on a Raspberry Pi.",
        14,
        minimum=1,
        maximum=3600,
    )
    stall_s: float = setting(
        "How long the agent's event loop may stand still before the agent ends itself, to be started anew, in seconds.",
        15.0,
        minimum=0.1,
        maximum=3600.0,
    )
