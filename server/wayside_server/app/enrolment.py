"""The routes of enrolment, as the settings want them."""

from datetime import timedelta

from fastapi import APIRouter

from wayside_server.api.device_import import import_router
from wayside_server.api.enrolment import enrolment_router
from wayside_server.api.enrolment_tokens import tokens_router
from wayside_server.api.pending import pending_router
from wayside_server.config import ServerSettings
from wayside_server.identity.office import EnrolmentOffice


def enrolment_routers(office: EnrolmentOffice, settings: ServerSettings) -> list[APIRouter]:
    """Every route of enrolment below `office`."""
    life = timedelta(hours=settings.enrolment.token_hours)
    return [
        enrolment_router(office, host_and_port(settings.broker.public_host, settings.broker.port)),
        tokens_router(office, base=api_base(settings), default_life=life),
        pending_router(office),
        import_router(office, life),
    ]


def api_base(settings: ServerSettings) -> str:
    """The address under which devices and people reach the server."""
    return f"https://{host_and_port(settings.api.public_host, settings.api.port)}"


def host_and_port(host: str, port: int) -> str:
    """As a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
