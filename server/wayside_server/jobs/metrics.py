"""What the jobs role counts."""

from prometheus_client import Gauge

EXPIRING = Gauge(
    "wayside_certificates_expiring",
    "Devices whose certificate ends within that time, as of the last audit.",
    ["within"],
    multiprocess_mode="mostrecent",
)
EXPIRED = Gauge(
    "wayside_certificates_expired",
    "Devices whose certificate has ended, as of the last audit.",
    multiprocess_mode="mostrecent",
)
REVOKED = Gauge("wayside_devices_revoked", "Revoked devices, as of the last audit.", multiprocess_mode="mostrecent")
AUDITED = Gauge(
    "wayside_certificates_audited_timestamp_seconds",
    "When certificates were last audited.",
    multiprocess_mode="mostrecent",
)
