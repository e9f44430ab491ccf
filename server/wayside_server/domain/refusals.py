"""Kinds of refusals: who was not let in, and what an operator should think of it."""

from collections.abc import Mapping
from types import MappingProxyType

DELETED_DEVICE = "deleted device"
REVOKED_DEVICE = "revoked device"
TOO_MANY_MESSAGES = "too many messages"

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "api_key": "A request or a sign-in with an API key that is unknown, expired or revoked.",
        "sign_in": "A sign-in with a wrong name or passphrase, or into a disabled account.",
        "sign_in_throttled": "A sign-in that was not looked at, because too many had failed before: somebody guesses.",
        "old_passphrase": (
            "A wrong passphrase of somebody who is signed in and changes what protects their account: mistyped, or "
            "a screen that was left open."
        ),
        "permission": "A request for which a person or a key has not the permission: a wrong key, or somebody tries.",
        "second_factor": "A wrong or used code behind a good passphrase: mistyped, or the passphrase has leaked.",
        "second_factor_sealed": (
            "A second factor that cannot be opened: `people/secret.key` is not the one that the database was used "
            "with. Recovery codes work; restore the file from a backup."
        ),
        "oidc": "A sign-in that the OpenID Connect provider answered wrongly, or of somebody without a role here.",
        "setup_code": "A wrong set-up code, or one after the installation was claimed.",
        "invitation": "An invitation that was used or withdrawn, has expired or never was.",
        "sign_in_link": "A sign-in link that was used before, has expired or never was.",
        "enrolment_token_malformed": "An enrolment with something that is no token: mistyped, or cut off when copied.",
        "enrolment_token_unknown": "An enrolment with a token that this server did not make.",
        "enrolment_token_used": "An enrolment with a token that was spent. Two boards may share one, or it leaked.",
        "enrolment_token_expired": "An enrolment with a token that came too late; make a new one.",
        "enrolment_token_revoked": "An enrolment with a token that somebody has ended; see who has it still.",
        "enrolment_token_name": (
            "An enrolment with a token whose name another tenant's device has got since; make one with another name."
        ),
        "enrolment_token_held": (
            "An enrolment with a token whose name another board has got since. If that board is to be locked out, make "
            "a token that replaces it."
        ),
        "enrolment_token_device_revoked": (
            "An enrolment with a token that names a revoked device; restore the device, or make one with another name."
        ),
        "certificate_request": "An enrolment or renewal with a certificate request that cannot be signed.",
        "certificate_key_shared": (
            "An enrolment or renewal with the key of another device: a copied card or image. Each board makes its own."
        ),
        "certificate_too_many": "A device that had too many certificates in a day: an agent that starts over and over.",
        "certificate_unknown": "A certificate of this authority that belongs to no device here: it was removed.",
        "certificate_revoked": "A device with a certificate that was revoked.",
        "certificate_replaced": (
            "A device whose name was given to another board since: the old board is running still, or its card."
        ),
        "certificate_superseded": (
            "A device with a certificate that was superseded long ago: a restored card, or a copy that somebody kept."
        ),
        "enrolment_refused": "A device without a token that an operator has refused, and that asks still.",
        "enrolment_tenant_full": "An enrolment into a tenant that may have no more devices.",
        "enrolment_displaced": (
            "A device without a token that had to make room for another: more ask than may wait. Somebody floods the "
            "server, or more than 256 devices behind one address are being installed."
        ),
        "renewal_unknown": "A device that asks to renew with a key that is not known as its own: a new key.",
        "renewal_refused": "A device that asks to renew with a key that was revoked, or whose name another board has.",
        "claim_code": "A claim with a code that no waiting device shows: mistyped, or somebody stands in between.",
        TOO_MANY_MESSAGES: (
            "A message of a device that sent more than `[rates]` allows it or its tenant. It was not taken: agents "
            "send it again, what a plain device sent is lost. Look after the device, or raise the rate."
        ),
        REVOKED_DEVICE: "A message of a revoked device that was connected still; it was neither stored nor confirmed.",
        DELETED_DEVICE: (
            "A message of a device that was deleted with its tenant and goes on sending; it was neither stored nor "
            "confirmed. Enrol it anew, or switch it off."
        ),
        "broker: untrusted certificate": "A client whose certificate is expired, revoked or from another authority.",
        "broker: no certificate": "A client without a certificate: a scanner, or a device that was never enrolled.",
        "broker: TLS older than 1.3": "A client that speaks nothing newer than TLS 1.2.",
        "broker: failed handshake": "A connection that was no TLS, or broke off in the handshake.",
        "broker: foreign topic": (
            "A subscription outside the topics of the device's own name, which yields nothing: an agent whose "
            "`uplink.device` is not the name in its certificate, or a curious client."
        ),
        "broker: name connected twice": (
            "A second connection under the name of a connected device, which throws the first one out: a cloned card, "
            "an agent that came back before its old connection was given up, or the server itself, which ends the "
            "session of a device so when it is revoked."
        ),
    }
)
"""What each kind tells; a kind that is not here would be shown by its name alone."""
