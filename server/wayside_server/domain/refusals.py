"""Kinds of refusals: who was not let in, and what an operator should think of it."""

from collections.abc import Mapping
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "api_key": "A request or a sign-in with an API key that is unknown, expired or revoked.",
        "sign_in": "A sign-in with a wrong name or passphrase, or into a disabled account.",
        "sign_in_throttled": "A sign-in that was not looked at, because too many had failed before: somebody guesses.",
        "second_factor": "A wrong or used code behind a good passphrase: mistyped, or the passphrase has leaked.",
        "second_factor_sealed": (
            "A second factor that cannot be opened: `people/secret.key` is not the one that the database was used "
            "with. Recovery codes work; restore the file from a backup."
        ),
        "oidc": "A sign-in that the OpenID Connect provider answered wrongly, or of somebody without a role here.",
        "setup_code": "A wrong set-up code, or one after the installation was claimed.",
        "invitation": "An invitation that was used or withdrawn, has expired or never was.",
        "sign_in_link": "A sign-in link that was used before, has expired or never was.",
        "enrolment_token_missing": "An enrolment without a token.",
        "enrolment_token_malformed": "An enrolment with something that is no token: mistyped, or cut off when copied.",
        "enrolment_token_unknown": "An enrolment with a token that this server did not make.",
        "enrolment_token_used": "An enrolment with a token that was spent. Two boards may share one, or it leaked.",
        "enrolment_token_expired": "An enrolment with a token that came too late; make a new one.",
        "certificate_request": "An enrolment with a good token and a certificate request that cannot be signed.",
        "broker: untrusted certificate": "A client whose certificate is expired or from another authority.",
        "broker: no certificate": "A client without a certificate: a scanner, or a device that was never enrolled.",
        "broker: TLS older than 1.3": "A client that speaks nothing newer than TLS 1.2.",
        "broker: failed handshake": "A connection that was no TLS, or broke off in the handshake.",
        "broker: foreign topic": (
            "A subscription outside the topics of the device's own name, which yields nothing: an agent whose "
            "`uplink.device` is not the name in its certificate, or a curious client."
        ),
        "broker: name connected twice": (
            "A second connection with the certificate of a connected device, which is thrown out: a cloned card, or "
            "an agent that came back before its old connection was given up."
        ),
    }
)
"""What each kind tells; a kind that is not here would be shown by its name alone."""
