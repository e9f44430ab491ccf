"""Whether what was exported is what the database holds, and whether the account adds up."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from wayside_firmware.demo.api import Api
from wayside_shared.errors import TransientError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTH = 16
_MODULUS = 1 << 8 * _WIDTH
PAGE = 1000
"""The largest page that the API gives."""


@dataclass(slots=True)
class Content:
    """Samples as a multiset: equal contents give equal `rows` and `digest`, in whatever order they came."""

    rows: int = 0
    digest: int = 0
    """Sum of the rows' hashes: it does not depend on the order, and a row that comes twice counts twice."""
    repeated: int = 0
    """Rows whose series and time came before."""
    _seen: set[tuple[str, str, int]] = field(default_factory=set, repr=False)

    def add(self, series: str, unit: str, time: str, value: object, quality: str | None) -> None:
        """Count one sample; `time` is RFC 3339, `value` a JSON value or its text in CSV, `quality` a label or none."""
        at = datetime.fromisoformat(time) - _EPOCH
        at_us = (at.days * 86_400 + at.seconds) * 1_000_000 + at.microseconds
        row = json.dumps([series, unit, at_us, _canonical(value), quality or ""]).encode()
        self.rows += 1
        self.digest = (self.digest + int.from_bytes(blake2b(row, digest_size=_WIDTH).digest())) % _MODULUS
        place = (series, unit, at_us)
        self.repeated += place in self._seen
        self._seen.add(place)

    def same(self, other: "Content") -> bool:
        """Whether both hold the same samples equally often."""
        return (self.rows, self.digest) == (other.rows, other.digest)


@dataclass(frozen=True, slots=True)
class DeviceProof:
    """One device when its agent has ended: its account with rows counted, and its samples by three ways.

    Args:
        account: answer of the account route, with `verify`.
        csv: what the CSV export holds.
        json: what the JSON export holds.
        history: what the history pages hold, which another query reads.
    """

    account: dict[str, Any]
    csv: Content
    json: Content
    history: Content

    @property
    def duplicates(self) -> int:
        """Rows that are stored more than once, by the ledger or by their series and time, whichever finds more."""
        return max(int(self.account["verified"]["duplicates_stored"]), self.csv.repeated, self.json.repeated)

    def faults(self) -> Iterator[str]:
        """A sentence for each promise that is broken."""
        account, device = self.account, self.account["device"]
        rows = account["verified"]["rows"]
        if self.duplicates:
            yield f"{device}: {self.duplicates} samples are stored more than once"
        for word in ("missing", "dropped", "rejected", "pending"):
            if account[word]:
                yield f"{device}: {account[word]} samples are {word}"
        if account["accepted"] != account["stored"]:
            yield f"{device}: accepted {account['accepted']} but stored {account['stored']}"
        if not account["stored"]:
            yield f"{device}: nothing was stored"
        for name, content in (("CSV", self.csv), ("JSON", self.json)):
            if content.rows != rows:
                yield f"{device}: the {name} export has {content.rows} rows, the database {rows}"
            elif not content.same(self.history):
                yield f"{device}: the {name} export holds other values than the database"


def prove(api: Api, device: str) -> DeviceProof:
    """Download both exports of `device` and compare; its agent must have ended.

    Raises:
        TransientError: the server does not answer, or not with what it should.
    """
    base = f"/api/v1/devices/{device}"
    try:
        with api.open(f"{base}/telemetry/export?format=csv") as response:
            from_csv = read_csv(io.TextIOWrapper(response, encoding="utf-8", newline=""))
        from_json = _read(api.get(f"{base}/telemetry/export?format=json"))
        from_history = _read(
            _history(api, f"{base}/telemetry?start=1970-01-02T00:00:00Z&end=9999-01-01T00:00:00Z&limit={PAGE}")
        )
        return DeviceProof(api.get(f"{base}/account?verify=true"), from_csv, from_json, from_history)
    except (KeyError, ValueError) as error:
        raise TransientError(f"{device}: an answer of the server is not what it should be: {error!r}") from error


def read_csv(lines: Iterable[str]) -> Content:
    """The content of a long CSV export.

    Raises:
        KeyError: a column is missing.
        ValueError: a time is none.
    """
    content = Content()
    for row in csv.DictReader(lines):
        content.add(row["series"], row["unit"], row["time"], row["value"], row["quality"])
    return content


def summary(proofs: Sequence[DeviceProof]) -> dict[str, int]:
    """The numbers of all devices added up, under the names of the demo's JSON."""
    totals = {
        word: sum(int(proof.account[word]) for proof in proofs)
        for word in ("accepted", "stored", "missing", "dropped", "rejected", "pending", "late", "duplicates_refused")
    }
    return {
        "devices": len(proofs),
        **totals,
        "duplicates": sum(proof.duplicates for proof in proofs),
        "database_rows": sum(int(proof.account["verified"]["rows"]) for proof in proofs),
        "export_csv_rows": sum(proof.csv.rows for proof in proofs),
        "export_json_rows": sum(proof.json.rows for proof in proofs),
    }


def _read(samples: Iterable[dict[str, Any]]) -> Content:
    content = Content()
    for sample in samples:
        content.add(sample["series"], sample["unit"], sample["time"], sample["value"], sample.get("quality"))
    return content


def _history(api: Api, path: str | None) -> Iterator[dict[str, Any]]:
    while path is not None:
        page = api.get(path)
        yield from page["samples"]
        path = page["next"]


def _canonical(value: object) -> str:
    """One text for a value, whether it comes as JSON or as the text in a CSV cell."""
    text = value if isinstance(value, str) else json.dumps(value)
    if text == "null":
        # A sample without a value, which is an empty cell.
        return ""
    try:
        return repr(float(text))
    except ValueError:
        return text
