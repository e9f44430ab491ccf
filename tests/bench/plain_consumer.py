"""The consumer that people write first: `python -m bench.plain_consumer PORT CA CERT KEY CONNINFO MESSAGES`.

Each message is a reading in JSON, decoded as it comes; each value is an INSERT, each message a commit. Says `ready`
when it has subscribed, and the monotonic time of its last commit when it has stored as many messages as it was told.
"""

import json
import sys
import time

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

NAME = "wayside-server-2"


def consume(port: str, ca_file: str, cert_file: str, key_file: str, conninfo: str, messages: str) -> None:
    """Store `messages` messages, then end."""
    left = int(messages)
    database = psycopg.connect(conninfo)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=NAME, protocol=mqtt.MQTTv5)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal left
        reading = json.loads(message.payload)
        with database.cursor() as cursor:
            for name, value in reading["values"].items():
                cursor.execute(
                    "INSERT INTO sample (series_id, ts, value) VALUES (%s, to_timestamp(%s), %s)",
                    (int(name), reading["ts"], value),
                )
        database.commit()
        left -= 1
        if left == 0:
            print(time.monotonic(), flush=True)
            client.disconnect()

    def on_subscribe(*_: object) -> None:
        print("ready", flush=True)

    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.tls_set(ca_file, cert_file, key_file)
    client.connect("127.0.0.1", int(port))
    client.subscribe("wayside/1/+/up", qos=1)
    client.loop_forever()


if __name__ == "__main__":
    consume(*sys.argv[1:])
