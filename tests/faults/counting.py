"""What the database holds, asked in two ways: by SQL, and by the API's own export."""

import csv
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import psycopg
from psycopg import sql

Stored = dict[str, Counter[int]]

ABSENT = -1
"""Stands for samples without a value, which no source here makes: each would be a phantom."""

_NUMBERS = "SELECT d.name, value::bigint FROM sample"
_TEXTS = "SELECT d.name, (value #>> '{}')::bigint FROM sample_value"
_ABSENT = f"SELECT d.name, {ABSENT} FROM sample_quality"
_DEVICE = " JOIN series s ON s.id = series_id JOIN device d ON d.id = s.device_id"
_DROPPED = (
    "SELECT d.name, b.seq FROM ingest_batch b JOIN stream s ON s.id = b.stream_id JOIN device d ON d.id = s.device_id"
    " WHERE b.outcome LIKE 'dropped:%'"
)


@dataclass(frozen=True, slots=True)
class Account:
    """What the API says of a device's samples."""

    accepted: int
    stored: int
    missing: int
    duplicates_stored: int


def stored_by_sql(conninfo: str) -> Stored:
    """How often each value stands in the tables, by device."""
    stored: Stored = {}
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        for select in (_NUMBERS + _DEVICE, _TEXTS + _DEVICE, f"{_ABSENT}{_DEVICE} WHERE quality >= 64"):
            with cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(sql.SQL(select))) as copy:
                copy.set_types(["text", "int8"])
                for device, value in copy.rows():
                    stored.setdefault(device, Counter())[value] += 1
    return stored


def dropped_by_sql(conninfo: str) -> set[tuple[str, int]]:
    """(device, seq) of every batch that its device declared dropped."""
    with psycopg.connect(conninfo) as connection:
        return set(connection.execute(_DROPPED).fetchall())


class Api:
    """The REST API, as a program with a key sees it.

    Args:
        port: on this machine.
        ca_file: the installation's root certificate.
        key: an API key.
    """

    def __init__(self, port: int, ca_file: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            verify=ssl.create_default_context(cafile=ca_file),
            headers={"Authorization": f"Bearer {key}"},
            timeout=60.0,
        )

    def answers(self) -> bool:
        """Whether it serves already."""
        try:
            return self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def stored(self, devices: Iterable[str]) -> Stored:
        """How often each value stands in the devices' CSV exports."""
        stored: Stored = {}
        for device in devices:
            with self._client.stream("GET", f"/api/v1/devices/{device}/telemetry/export?format=csv") as answer:
                answer.raise_for_status()
                rows = csv.DictReader(answer.iter_lines())
                stored[device] = Counter(int(float(row["value"])) if row["value"] else ABSENT for row in rows)
        return stored

    def account(self, device: str) -> Account:
        """The device's account, with its rows counted."""
        answer = self._client.get(f"/api/v1/devices/{device}/account?verify=true").raise_for_status().json()
        return Account(answer["accepted"], answer["stored"], answer["missing"], answer["verified"]["duplicates_stored"])

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
