"""The routes of enrolment, as the settings want them."""

from datetime import timedelta
from functools import partial

from fastapi import APIRouter

from wayside_server.api.device_import import import_router
from wayside_server.api.enrolment import enrolment_router
from wayside_server.api.enrolment_tokens import tokens_router
from wayside_server.api.pending import pending_router
from wayside_server.config import ServerSettings
from wayside_server.identity.office import EnrolmentOffice


def enrolment_routers(office: EnrolmentOffice, settings: ServerSettings) -> list[APIRouter]:
    """Every route of enrolment below `office`, for programs and for devices."""
    life = timedelta(hours=settings.enrolment.token_hours)
    return [
        enrolment_router(office, host_and_port(settings.broker.public_host, settings.broker.port)),
        tokens_router(office, install_line=partial(install_line, settings), default_life=life),
        pending_router(office),
        import_router(office, life),
    ]


def install_line(settings: ServerSettings, token: str) -> str:
    """What to type on a device to install the agent and enrol it with `token`."""
    base = f"https://{host_and_port(settings.api.public_host, settings.api.port)}"
    return f"curl -fsS {base}/install.sh | sudo sh -s -- --server {base} --token {token}"


def host_and_port(host: str, port: int) -> str:
    """As a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
