"""Boards for tests; each test has its own, freshly booted."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from board import cache
from board.machine import Board, Chips, Wanted, running
from board.office import Office, open_office
from board.uml import Uml
from wayside_server.storage.database import Pool
from wayside_testkit.credentials import CredentialsFactory


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """A machine without disk and network."""
    assert cache.KERNEL.exists(), "the virtual board is not built; type: make test-board"
    folder = tmp_path / "machine"
    folder.mkdir()
    return Wanted(folder)


@pytest.fixture
async def board(wanted: Wanted) -> AsyncIterator[Board]:
    """A board with one BME280, on."""
    async with running(Uml(), wanted, Chips(i2c=[{"model": "bme280", "noise": 0.0}])) as started:
        yield started


@pytest.fixture
def office_folder(tmp_path: Path) -> Path:
    """Where the broker keeps its files."""
    folder = tmp_path / "office"
    folder.mkdir()
    return folder


@pytest.fixture
async def office(office_folder: Path, credentials: CredentialsFactory, pool: Pool) -> AsyncIterator[Office]:
    """Broker and ingest on the host."""
    async with open_office(office_folder, credentials, pool) as opened:
        yield opened
