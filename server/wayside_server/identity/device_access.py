"""Establishes devices by the certificates on their connections."""

from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from wayside_server.domain.access import DeviceRefusedError, Permission, Principal
from wayside_server.identity.enrolment import CertificateRefusedError, Enrolments, EnrolmentStore
from wayside_server.identity.refusing import Refusal, RefusalDesk


class DeviceCertificates:
    """The installation's `domain.access.DeviceAccess`.

    Args:
        store: where certificates are kept.
        enrolments: knows which of them count.
        desk: notes what is refused.
        now: the time, aware.
    """

    def __init__(
        self, store: EnrolmentStore, enrolments: Enrolments, desk: RefusalDesk, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._enrolments = enrolments
        self._desk = desk
        self._now = now

    async def establish(self, certificate: bytes, address: str | None) -> Principal:
        """The device whose certificate (DER) TLS has verified.

        Raises:
            DeviceRefusedError: the certificate counts no more, or its device is gone.
        """
        serial = x509.load_der_x509_certificate(certificate).serial_number
        try:
            async with self._store.enrolment() as transaction:
                known = await self._enrolments.in_force(transaction, serial, self._now())
        except CertificateRefusedError as error:
            await self._desk.refuse(refused_certificate(error, serial, address))
            raise DeviceRefusedError(str(error)) from error
        return Principal(f"device:{known.device}", known.device, known.tenant_id, frozenset({Permission.DEVICE}))


def refused_certificate(error: CertificateRefusedError, serial: int, address: str | None) -> Refusal:
    """What is noted of `error`."""
    known = error.known
    subject = f"certificate:{serial:x}"
    if known is None:
        return Refusal(error.kind, f"{error}; serial {serial:x}", "certificate.use", subject, address)
    detail = f"{error}; {known.device}, serial {serial:x}"
    return Refusal(error.kind, detail, "certificate.use", subject, address, f"device:{known.device}", known.tenant_id)
