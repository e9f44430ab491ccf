"""Who asks, as the gate has established."""

from typing import Annotated

from fastapi import Depends, Request

from wayside_server.domain.access import Principal


def asker_of(request: Request) -> Principal:
    """Who asks; not for public routes, on which nobody is established."""
    principal = request.state.principal
    assert isinstance(principal, Principal), "the gate lets nobody else to a route that is not public"
    return principal


Asker = Annotated[Principal, Depends(asker_of)]
"""A parameter of a route: what it reads, it reads for this one."""
