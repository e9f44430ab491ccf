"""The topic tree `wayside/1/<device>/…`. The version is in the topic, the identity in the certificate."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.identifiers import is_device_id

ROOT = "wayside/1"


class Channel(Enum):
    """What a topic below a device's name carries; the value is the topic's last part."""

    UP = "up"
    ACK = "ack"
    HELLO_DEVICE = "hello/device"
    HELLO_SERVER = "hello/server"
    COMMAND = "cmd"
    RESULT = "res"
    DESIRED = "desired"
    REPORTED = "reported"
    STATE = "state"
    LOG = "log"

    @property
    def from_device(self) -> bool:
        """Whether devices publish on it; otherwise the server does."""
        return self in _FROM_DEVICE


_FROM_DEVICE = frozenset(
    {Channel.UP, Channel.HELLO_DEVICE, Channel.RESULT, Channel.REPORTED, Channel.STATE, Channel.LOG}
)
_BY_SUFFIX = {channel.value: channel for channel in Channel}


@dataclass(frozen=True, slots=True)
class Address:
    """A device's name and one of its channels: what a topic says."""

    device: str
    channel: Channel


def topic(device: str, channel: Channel) -> str:
    """The topic of `channel` for `device`, as in `wayside/1/boiler-7/up`."""
    return f"{ROOT}/{device}/{channel.value}"


def every_device(channel: Channel) -> str:
    """The filter that matches `channel` of every device."""
    return f"{ROOT}/+/{channel.value}"


def parse(text: str) -> Address | None:
    """What the topic `text` addresses; None when it is none of ours."""
    prefix = ROOT + "/"
    if not text.startswith(prefix):
        return None
    device, _, suffix = text[len(prefix) :].partition("/")
    channel = _BY_SUFFIX.get(suffix)
    if channel is None or not is_device_id(device):
        return None
    return Address(device, channel)
