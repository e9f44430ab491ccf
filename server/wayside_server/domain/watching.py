"""Incidents about identities: what audits and the broker's log tell of certificates, sessions and revoked devices."""

REVOKED_SENDS = "revoked device sends"
REVOKED_CONNECTS = "revoked device connects"
LIST_STALE = "revocation list stale"
NEAR_END = "certificate near its end"
LAPSED = "certificate ended"
SHARED_IDENTITY = "identity used twice"
FLAPPING_SESSION = "session taken over again and again"
