"""The routes of enrolment, as the settings want them."""

from collections.abc import Callable
from datetime import timedelta

from fastapi import APIRouter

from wayside_server.api.device_import import import_router
from wayside_server.api.enrolment import enrolment_router
from wayside_server.api.enrolment_tokens import tokens_router
from wayside_server.api.pending import pending_router
from wayside_server.config import ServerSettings
from wayside_server.identity.office import EnrolmentOffice


def enrolment_routers(
    office: EnrolmentOffice, settings: ServerSettings, install: Callable[[str], str]
) -> list[APIRouter]:
    """Every route of enrolment below `office`, for programs and for devices.

    Args:
        office: takes tokens and requests.
        settings: of the server.
        install: makes of a token what to type on a device.
    """
    life = timedelta(hours=settings.enrolment.token_hours)
    return [
        enrolment_router(office, host_and_port(settings.broker.public_host, settings.broker.port)),
        tokens_router(office, install_line=install, default_life=life),
        pending_router(office),
        import_router(office, life),
    ]


def host_and_port(host: str, port: int) -> str:
    """As a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
