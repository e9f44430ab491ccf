"""What a person types to revoke a device and to roll the CA, as processes of their own on a running broker."""

import asyncio
import sys

from wayside_server import config
from wayside_server.storage.database import Pool
from wayside_testkit.broker import handshake_and_connect
from wayside_testkit.installation import Installation

DEADLINE_S = 30.0


async def typed(installation: Installation, *words: str) -> tuple[int, str]:
    """Status and output of `wayside-server` with `words`."""
    command = [sys.executable, "-m", "wayside_server", *words, "--home", str(installation.home.path)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode() + err.decode()


def configure(installation: Installation, database: str) -> None:
    port = installation.broker.port
    config.ensure(
        installation.home,
        public_host="localhost",
        listen="127.0.0.1",
        broker_port=port,
        api_port=installation.broker.port,
    )
    with installation.home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')


async def test_a_device_is_revoked_and_restored_by_command(
    installation: Installation, pool: Pool, database: str
) -> None:
    configure(installation, database)
    who = await installation.enrolled(pool, "boiler-7")
    status, said = await typed(installation, "device", "revoke", "boiler-7", "--reason", "hold")
    assert (status, said.splitlines()) == (
        0,
        ["boiler-7 is revoked, with 1 certificate; nothing that it sends is stored", "the broker has it"],
    )
    assert await handshake_and_connect(installation.broker, who.client_context()) == b""
    status, said = await typed(installation, "device", "revoke", "boiler-8")
    assert (status, "there is no device 'boiler-8'" in said) == (78, True), said
    status, said = await typed(installation, "device", "restore", "boiler-7")
    assert (status, said.splitlines()) == (
        0,
        [
            "boiler-7 is restored; what it sends is stored again",
            "good again after they were on hold: 1 certificate",
            "the broker has it",
        ],
    )
    status, said = await typed(installation, "device", "restore", "boiler-7")
    assert (status, said.splitlines()[0]) == (0, "boiler-7 was not revoked; what it sends is stored, as before")


async def test_a_ca_is_rolled_by_command(installation: Installation, pool: Pool, database: str) -> None:
    configure(installation, database)
    await installation.enrolled(pool, "boiler-7")
    status, said = await typed(installation, "ca", "roll")
    assert (status, "restart the broker" in said) == (0, True), said
    status, said = await typed(installation, "ca", "status")
    assert "1 have only certificates of the old CA: boiler-7" in said
    assert "runs since before its roots changed" in said
    status, said = await typed(installation, "ca", "finish")
    assert (status, "boiler-7; they get one of the new CA" in said) == (78, True), said
    await installation.enrolled(pool, "boiler-7")
    status, said = await typed(installation, "ca", "finish")
    assert (status, "destroy its keys" in said) == (0, True), said
    status, said = await typed(installation, "crl", "renew")
    assert (status, "the broker reads it" in said, said.count("\n")) == (0, True, 1), said
