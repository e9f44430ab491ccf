"""Publishes what was encoded before, for several devices at once: `python -m bench.publisher FILE`.

Says `ready` when all are connected, waits for a line, says when the first message was handed over (seconds of the
monotonic clock) and ends when the broker has acknowledged the last.
"""

import pickle
import sys
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

IN_FLIGHT = 20


@dataclass(frozen=True, slots=True)
class Load:
    """What one device publishes, all on one topic."""

    device: str
    topic: str
    ca_file: str
    cert_file: str
    key_file: str
    messages: list[bytes]


def publish(port: int, content_type: str, loads: list[Load]) -> None:
    """Publish `loads`, one message of each device in turn."""
    clients = [connected(port, load) for load in loads]
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = content_type
    print("ready", flush=True)
    sys.stdin.readline()
    print(time.monotonic(), flush=True)
    sent: list[Any] = []
    for turn in zip_longest(*(load.messages for load in loads)):
        for client, load, message in zip(clients, loads, turn, strict=True):
            if message is not None:
                sent.append(client.publish(load.topic, message, 1, properties=properties))
    for info in sent:
        info.wait_for_publish()
    for client in clients:
        client.disconnect()
        client.loop_stop()


def connected(port: int, load: Load) -> mqtt.Client:
    """A client with its thread, for the device of `load`."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=load.device, protocol=mqtt.MQTTv5)
    client.tls_set(load.ca_file, load.cert_file, load.key_file)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


if __name__ == "__main__":
    publish(*pickle.loads(Path(sys.argv[1]).read_bytes()))
