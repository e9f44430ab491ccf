"""The role as which tenants are answered: it owns nothing, every policy binds it, and a cluster has it once."""

import psycopg
from psycopg import sql

from wayside_server.errors import ConfigError
from wayside_server.storage.database import Connection
from wayside_server.storage.statements import load_statements

_SQL = load_statements("roles")

APP_ROLE = "wayside_app"
AS_APP = f"-c role={APP_ROLE}"
"""A connection option: the connection is of this role from its first statement on, and RESET ROLE leads back to it."""

_ALREADY = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InternalError_)
"""Another runner, in another database of the cluster, made it or granted it at the same time ("tuple concurrently
updated" has no class of its own)."""
_TURNS = 3
"""Whoever loses against another runner finds its work done at the next turn."""


async def ensure_app_role(conn: Connection, role: str = APP_ROLE) -> None:
    """Makes the role unless it is there, and lets the user of `conn` become it.

    Raises:
        ConfigError: the user may do neither, or the role is bound by no policy; it has the statements to type.
    """
    user = conn.info.user
    found = None
    try:
        for _ in range(_TURNS):
            found = await (await conn.execute(_SQL["role"], {"role": role})).fetchone()
            if found is None:
                await _unless_done(conn, "create", role)
                continue
            if found[0]:
                raise ConfigError(
                    f"the role {role} is bound by no policy, so tenants could see each other; let a superuser type: "
                    f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS;"
                )
            may_become = await (await conn.execute(_SQL["may_become"], {"role": role})).fetchone()
            if may_become is not None and may_become[0]:
                return
            await _unless_done(conn, "grant", role)
    except psycopg.errors.InsufficientPrivilege as error:
        fix = f'GRANT {role} TO "{user}";'
        if found is None:
            fix = f"CREATE ROLE {role} NOLOGIN; {fix}"
        raise ConfigError(
            f"the database's role may not make the role that keeps tenants apart; let a superuser type: {fix}"
        ) from error
    raise ConfigError(
        f'the role {role} could not be had; let a superuser type: GRANT {role} TO "{user}" WITH SET TRUE;'
    )


async def _unless_done(conn: Connection, statement: str, role: str) -> None:
    try:
        await conn.execute(sql.SQL(_SQL[statement]).format(role=sql.Identifier(role)))
    except _ALREADY:
        return
