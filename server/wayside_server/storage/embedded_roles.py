"""Who logs in to a PostgreSQL of our own, and as whom: only starting it takes the superuser."""

from collections.abc import Callable

import psycopg

from wayside_server.storage.statements import load_statements

_SQL = load_statements("embedded")

DATABASE = "wayside"
SUPERUSER = "postgres"
OWNER = "wayside"
"""Owns the database and what is in it, and has no right beyond: migrations, ingest, identity and jobs."""
READER = "wayside_reader"
"""May become `roles.APP_ROLE` and nobody else, so that a statement smuggled into a question cannot either."""


def prepare(connect: Callable[[str], str]) -> None:
    """Makes roles and database where they are missing.

    Args:
        connect: gives the superuser's conninfo of a database by name.

    Raises:
        psycopg.OperationalError: the server does not answer yet.
    """
    with psycopg.connect(connect(SUPERUSER), autocommit=True, connect_timeout=30) as connection:
        for statement in ("roles", "memberships"):
            connection.execute(_SQL[statement])
        found = connection.execute(_SQL["owner"]).fetchone()
        if found is None:
            connection.execute(_SQL["create_database"])
    if found is not None and found[0] != OWNER:
        with psycopg.connect(connect(DATABASE), connect_timeout=30) as connection:
            connection.execute(_SQL["hand_over"])
