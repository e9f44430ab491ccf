"""Enrolment over HTTPS: EST (RFC 7030) as devices need it."""

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import Counter

from wayside_server.api.bodies import read_body
from wayside_server.api.schema import bytes_of, problems
from wayside_server.domain.access import Permission, requires
from wayside_server.errors import ConfigError
from wayside_server.identity.authority import CertificateRequestError
from wayside_server.identity.device_access import refused_certificate
from wayside_server.identity.enrolment import CertificateRefusedError
from wayside_server.identity.issuing import Enrolled, SharedKeyError, TenantFullError, TooManyCertificatesError
from wayside_server.identity.office import EnrolmentOffice
from wayside_server.identity.refusing import Refusal
from wayside_server.identity.tokens import TokenRefusedError
from wayside_server.identity.waiting import Wait, WaitExpiredError, WaitRefusedError
from wayside_shared.enrolment import (
    BROKER_HEADER,
    CACERTS_PATH,
    DEVICE_HEADER,
    MAX_REQUEST_BYTES,
    SIMPLEENROLL_PATH,
    SIMPLEREENROLL_PATH,
    parse_token,
)

ISSUED = Counter("wayside_certificates_issued", "Device certificates issued.")
WAITING = Counter("wayside_enrolments_waiting", "Answers that told a device without a token to ask again.")
TOO_MANY_RETRY_S = 3_600

_PKCS7 = "application/pkcs7-mime; smime-type=certs-only"
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="wayside enrolment"'}
_PKCS10 = "application/pkcs10"
_PKCS10_BODY = {
    "content": {_PKCS10: {"schema": {"type": "string", "contentEncoding": "base64"}}},
    "required": True,
}
_BROKER = {BROKER_HEADER: {"description": "host:port of the broker", "schema": {"type": "string"}}}
_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
_ANSWERS = {
    200: bytes_of(_PKCS7)[200] | {"headers": _BROKER, "description": "Certificate and intermediate."},
    **problems(
        {
            400: "The certificate request cannot be signed.",
            413: "The body is too large.",
            415: "The body says that it is something else than a certificate request.",
            429: "The device had too many certificates in a day.",
        }
    ),
}
_ENROLL_ANSWERS = {
    **_ANSWERS,
    202: {"description": "Nobody has let the device in yet: ask again.", "headers": _RETRY},
    **problems(
        {
            401: "The token is malformed, unknown, used, expired or revoked.",
            403: "An operator has refused the device, its key counts no more, or the tenant may have no more devices.",
            410: "Nobody has let the device in for too long: start again.",
        }
    ),
}


def enrolment_router(office: EnrolmentOffice, broker: str) -> APIRouter:
    """The routes of EST.

    Args:
        office: the services of enrolment.
        broker: what devices are told: `host:port`.
    """
    router = APIRouter(tags=["enrolment"])
    counter = _Counter(office, broker)

    @router.get(
        CACERTS_PATH,
        response_class=Response,
        responses=bytes_of(_PKCS7),
        summary="The CA certificates (RFC 7030 section 4.1)",
    )
    @requires(Permission.PUBLIC)
    async def cacerts() -> Response:
        """Every root that is to be trusted, and the issuing CA, as base64 of a PKCS#7 that holds only certificates."""
        return _certificates(office.authority.cacerts_pkcs7())

    @router.post(
        SIMPLEENROLL_PATH,
        response_class=Response,
        responses=_ENROLL_ANSWERS,
        summary="A certificate for a request (RFC 7030 section 4.2)",
        openapi_extra={"requestBody": _PKCS10_BODY},
    )
    @requires(Permission.PUBLIC)
    async def simple_enroll(request: Request) -> Response:
        """A certificate for the key in the request; the common name in it is the device's name.

        With HTTP Basic, whose password is an enrolment token, at once. Without, once an operator has typed the code
        that the device shows. A known key whose certificate has ended is renewed once an operator has approved.
        """
        given = request.headers.get("authorization")
        csr = await _certificate_request(request)
        if given is None:
            return await counter.ask(csr, request)
        return await counter.enrol(_basic_password(given), csr, request)

    @router.post(
        SIMPLEREENROLL_PATH,
        response_class=Response,
        responses={**_ANSWERS, **problems({403: "The certificate on the connection is missing, or counts no more."})},
        summary="A newer certificate for a device (RFC 7030 section 4.2.2)",
        openapi_extra={"requestBody": _PKCS10_BODY},
    )
    @requires(Permission.DEVICE)
    async def simple_reenroll(request: Request) -> Response:
        """A newer certificate for the device whose certificate is on the connection, for the same key or a new one.

        Both certificates are good until they end.
        """
        csr = await _certificate_request(request)
        return await counter.reenrol(request.state.client_certificate, csr, request)

    return router


class _Counter:
    """Where devices are served; what it refuses is noted and told."""

    def __init__(self, office: EnrolmentOffice, broker: str) -> None:
        self._office = office
        self._broker = broker

    async def enrol(self, token: str, csr: bytes, request: Request) -> Response:
        address = _address(request)
        try:
            digest = parse_token(token).digest
        except ConfigError as error:
            raise await self._refused("enrolment_token_malformed", error, 401, address) from error
        try:
            return self._given(await self._office.enrolments.enrol(digest, csr, address))
        except TokenRefusedError as error:
            kind = f"enrolment_token_{error.fault.name.lower()}"
            number = None if error.token is None else error.token.token_id
            tenant_id = None if error.token is None else error.token.tenant_id
            raise await self._refused(kind, error, 401, address, f"token:{number}", tenant_id) from error
        except TenantFullError as error:
            raise await self._refused("enrolment_tenant_full", error, 403, address) from error
        except (CertificateRequestError, TooManyCertificatesError) as error:
            raise await self._bad_request(error, address) from error

    async def ask(self, csr: bytes, request: Request) -> Response:
        address = _address(request)
        try:
            answer = await self._office.claims.ask(csr, request.headers.get(DEVICE_HEADER), address)
        except WaitRefusedError as error:
            known = error.known
            subject = "enrolment:unknown" if known is None else f"device:{known.device}"
            tenant_id = None if known is None else known.tenant_id
            raise await self._refused(error.why.value, error, 403, address, subject, tenant_id) from error
        except WaitExpiredError as error:
            raise HTTPException(410, str(error)) from error
        except (CertificateRequestError, TooManyCertificatesError) as error:
            raise await self._bad_request(error, address) from error
        if isinstance(answer, Enrolled):
            return self._given(answer)
        return await self._wait(answer, address)

    async def reenrol(self, certificate: bytes, csr: bytes, request: Request) -> Response:
        address = _address(request)
        serial = x509.load_der_x509_certificate(certificate).serial_number
        try:
            return self._given(await self._office.enrolments.reenrol(serial, csr, address))
        except CertificateRefusedError as error:
            await self._office.desk.refuse(refused_certificate(error, serial, address))
            raise HTTPException(403, str(error)) from error
        except (CertificateRequestError, TooManyCertificatesError) as error:
            raise await self._bad_request(error, address) from error

    def _given(self, enrolled: Enrolled) -> Response:
        ISSUED.inc()
        answer = _certificates(self._office.authority.chain_pkcs7(enrolled.certificate))
        answer.headers[BROKER_HEADER] = self._broker
        return answer

    async def _wait(self, wait: Wait, address: str) -> Response:
        WAITING.inc()
        for _ in range(wait.displaced):
            detail = "more devices wait for somebody to let them in than may; the oldest had to go"
            await self._office.desk.refuse(
                Refusal("enrolment_displaced", detail, "enrolment.wait", "enrolment:oldest", address)
            )
        text = "nobody has let this device in yet; compare the code that it shows with the one typed in the console\n"
        return Response(text, 202, {"Retry-After": str(wait.retry_after_s)}, "text/plain")

    async def _bad_request(self, error: Exception, address: str) -> HTTPException:
        if isinstance(error, TooManyCertificatesError):
            refusal = await self._refused("certificate_too_many", error, 429, address)
            refusal.headers = {"Retry-After": str(TOO_MANY_RETRY_S)}
            return refusal
        kind = "certificate_key_shared" if isinstance(error, SharedKeyError) else "certificate_request"
        return await self._refused(kind, error, 400, address)

    async def _refused(
        self,
        kind: str,
        error: Exception,
        status: int,
        address: str,
        subject: str = "enrolment:unknown",
        tenant_id: int | None = None,
    ) -> HTTPException:
        action = "device.enrol"
        await self._office.desk.refuse(Refusal(kind, str(error), action, subject, address, tenant_id=tenant_id))
        return HTTPException(status, str(error), _CHALLENGE if status == 401 else None)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


async def _certificate_request(request: Request) -> bytes:
    # RFC 7030 section 4.2.1 wants the type; a request without one claims to be nothing else, and is read as what it is.
    given = request.headers.get("content-type", _PKCS10)
    if given.partition(";")[0].strip().lower() != _PKCS10:
        raise HTTPException(415, f"send the certificate request with Content-Type {_PKCS10}")
    return _from_base64(await read_body(request, MAX_REQUEST_BYTES))


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


def _basic_password(header: str) -> str:
    """The password in an Authorization header; empty when there is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _certificates(der: bytes) -> Response:
    return Response(base64.encodebytes(der), media_type=_PKCS7, headers={"Content-Transfer-Encoding": "base64"})
