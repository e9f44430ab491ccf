"""Enrolment over HTTPS: EST as far as devices need it (RFC 7030), and the one resource that our agent uses."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import Counter
from pydantic import BaseModel, Field, ValidationError

from wayside_server.api.schema import bytes_of, problems
from wayside_server.domain.access import Permission, requires
from wayside_server.errors import ConfigError
from wayside_server.identity.authority import Authority, CertificateRequestError
from wayside_server.identity.enrolment import Enrolled, Enrolments, Refusals, TokenRefusedError
from wayside_shared.enrolment import (
    BROKER_HEADER,
    CACERTS_PATH,
    ENROLMENTS_PATH,
    MAX_REQUEST_BYTES,
    SIMPLEENROLL_PATH,
    parse_token,
)

REFUSED = Counter("wayside_enrolments_refused", "Enrolments refused, by reason.", ["kind"])
ISSUED = Counter("wayside_certificates_issued", "Device certificates issued.")

_PKCS7 = "application/pkcs7-mime; smime-type=certs-only"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="wayside enrolment"'}
_PKCS10_BODY = {
    "content": {"application/pkcs10": {"schema": {"type": "string", "contentEncoding": "base64"}}},
    "required": True,
}
_REFUSED = problems(
    {
        400: "The certificate request cannot be signed.",
        401: "The token is missing, malformed, unknown, used or expired.",
        413: "The body is too large.",
    }
)


class BrokerAddress(BaseModel):
    """Where to publish: MQTT 5 over TLS 1.3 with the new certificate."""

    host: str
    port: int


class EnrolmentRequest(BaseModel):
    """A token and a PKCS#10 request."""

    token: str = Field(description="The one-time token, as wayside-server token create printed it.", max_length=200)
    csr: str = Field(description="PKCS#10 in DER, as base64. Only the public key in it is used.")


class EnrolmentAnswer(BaseModel):
    """What makes a device: its name, its certificate, and whom to talk to."""

    device: str = Field(description="The device's name: common name, MQTT user name and client id.")
    certificate: str = Field(description="Its certificate and the intermediate, PEM.")
    ca: str = Field(description="The root certificate, PEM.")
    expires_at: datetime
    broker: BrokerAddress


def enrolment_router(
    enrolments: Enrolments, authority: Authority, refusals: Refusals, broker: BrokerAddress, now: Callable[[], datetime]
) -> APIRouter:
    """The routes of enrolment; the token in the request is all the authentication they need.

    Args:
        enrolments: takes tokens against certificates.
        authority: whose certificates are handed out.
        refusals: counts what was refused.
        broker: what devices are told.
        now: the time, aware.
    """
    router = APIRouter(tags=["enrolment"])
    desk = _Desk(enrolments, refusals, now)

    @router.get(
        CACERTS_PATH,
        response_class=Response,
        responses=bytes_of(_PKCS7),
        summary="The CA certificates (RFC 7030 section 4.1)",
    )
    @requires(Permission.PUBLIC)
    async def cacerts() -> Response:
        return _certificates(authority.cacerts_pkcs7())

    @router.post(
        SIMPLEENROLL_PATH,
        response_class=Response,
        responses=bytes_of(_PKCS7) | _REFUSED,
        summary="A certificate for a request (RFC 7030 section 4.2)",
        openapi_extra={"requestBody": _PKCS10_BODY},
    )
    @requires(Permission.PUBLIC)
    async def simple_enroll(request: Request) -> Response:
        token = _basic_password(request.headers.get("authorization", ""))
        if token is None:
            raise await desk.refused(
                "enrolment_token_missing", "send the enrolment token as the password of HTTP Basic authentication", 401
            )
        enrolled = await desk.enrol(token, _from_base64(await _body(request)))
        answer = _certificates(authority.chain_pkcs7(enrolled.certificate))
        answer.headers[BROKER_HEADER] = f"{broker.host}:{broker.port}"
        return answer

    schema = {"content": {"application/json": {"schema": EnrolmentRequest.model_json_schema()}}, "required": True}

    @router.post(
        ENROLMENTS_PATH,
        status_code=201,
        summary="Enrol a device: certificate, name and broker in one answer",
        openapi_extra={"requestBody": schema},
        responses=_REFUSED,
    )
    @requires(Permission.PUBLIC)
    async def create_enrolment(request: Request) -> EnrolmentAnswer:
        try:
            body = EnrolmentRequest.model_validate_json(await _body(request))
        except ValidationError as error:
            raise HTTPException(422, "the body must be a JSON object with the texts 'token' and 'csr'") from error
        enrolled = await desk.enrol(body.token, _from_base64(body.csr.encode("utf-8", "replace")))
        return EnrolmentAnswer(
            device=enrolled.device,
            certificate=authority.chain_pem(enrolled.certificate).decode("ascii"),
            ca=authority.root_pem.decode("ascii"),
            expires_at=enrolled.certificate.not_valid_after_utc,
            broker=broker,
        )

    return router


class _Desk:
    """Takes a token and a request, and counts what it refuses."""

    def __init__(self, enrolments: Enrolments, refusals: Refusals, now: Callable[[], datetime]) -> None:
        self._enrolments = enrolments
        self._refusals = refusals
        self._now = now

    async def enrol(self, token: str, request: bytes) -> Enrolled:
        try:
            digest = parse_token(token).digest
        except ConfigError as error:
            raise await self.refused("enrolment_token_malformed", str(error), 401) from error
        try:
            enrolled = await self._enrolments.enrol(digest, request)
        except TokenRefusedError as error:
            raise await self.refused(f"enrolment_token_{error.fault.name.lower()}", str(error), 401) from error
        except CertificateRequestError as error:
            raise await self.refused("certificate_request", str(error), 400) from error
        ISSUED.inc()
        return enrolled

    async def refused(self, kind: str, detail: str, status: int) -> HTTPException:
        REFUSED.labels(kind).inc()
        await self._refusals.count_refusal(kind, detail, self._now())
        return HTTPException(status, detail, _CHALLENGE if status == 401 else None)


async def _body(request: Request) -> bytes:
    """The body, read no further than MAX_REQUEST_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_REQUEST_BYTES} bytes")
    return bytes(body)


def _from_base64(body: bytes) -> bytes:
    """The request in `body`: base64 with or without line ends, and PEM, which some EST clients send."""
    if body.lstrip().startswith(b"-----BEGIN"):
        try:
            return x509.load_pem_x509_csr(body).public_bytes(serialization.Encoding.DER)
        except (ValueError, x509.InvalidVersion):
            return b""
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return b""


def _basic_password(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _certificates(der: bytes) -> Response:
    return Response(base64.encodebytes(der), media_type=_PKCS7, headers={"Content-Transfer-Encoding": "base64"})
