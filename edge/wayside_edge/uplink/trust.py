"""Whom the uplink trusts, also on a board that does not know the time."""

import ssl
from collections.abc import Callable

from wayside_edge.errors import TransientError
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.clock import NS_PER_S

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which the ssl module passes on but does not name."""


_ALERTS = {
    "CERTIFICATE_REVOKED": "this device's certificate was revoked",
    "CERTIFICATE_EXPIRED": "this device's certificate has ended",
}


def refusal_of(reason: str | None) -> str | None:
    """What a broker's TLS alert says of this device, in words; None for all that need no words of their own."""
    return next((words for alert, words in _ALERTS.items() if reason and reason.endswith(alert)), None)


def present_files(context: ssl.SSLContext, settings: UplinkSettings) -> None:
    """Make `context` show the certificate of `settings`, with the key in its file.

    Raises:
        OSError: a file cannot be used.
    """
    context.load_cert_chain(settings.cert_file, settings.key_file)


Present = Callable[[ssl.SSLContext, UplinkSettings], None]
"""Makes a context show the device's certificate; raises OSError or TransientError when it cannot."""


def client_context(settings: UplinkSettings, *, timeless: bool, present: Present = present_files) -> ssl.SSLContext:
    """TLS 1.3 with this device's certificate; chain and host name of the broker are verified in any case.

    Args:
        settings: names the files, which are read anew each time: a renewed certificate counts from the next session on.
        timeless: leave the period of validity to `refuse_outdated`, because the wall clock means nothing.
        present: how the certificate and its key get into the context.

    Raises:
        TransientError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        present(context, settings)
    except (OSError, ssl.SSLError) as error:
        names = f"{settings.ca_file}, {settings.cert_file} or {settings.key_file}"
        message = f"cannot use {names}: {error}; enrol this device with wayside-edge enroll"
        raise TransientError(message) from error
    if timeless:
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


def refuse_outdated(link: ssl.SSLSocket, earliest_ns: int) -> None:
    """Refuse a broker whose certificate had ended before the earliest time that it can be now.

    That it is valid already needs no proof: the time is unknown upwards.

    Args:
        link: after the handshake.
        earliest_ns: UTC nanoseconds that have passed for certain.

    Raises:
        TransientError: it had ended.
    """
    certificate = link.getpeercert() or {}
    ended = str(certificate.get("notAfter"))
    if ssl.cert_time_to_seconds(ended) * NS_PER_S < earliest_ns:
        raise TransientError(f"the broker's certificate ended on {ended}, before the last time this board knew")
