"""Settings of single sign-on, apart from it: its libraries cost every program a tenth of a second."""

from dataclasses import dataclass

from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`[oidc]`."""

    issuer: str | None = setting(
        "Issuer of an OpenID Connect provider, as its tokens name it; none lets people in by passphrase only.",
        None,
        pattern=r"https://.+",
        sample="https://login.example/realms/plant",
    )
    client_id: str = setting("As what the provider knows this installation.", "wayside")
    secret_file: str | None = setting(
        "File with the client's secret, mode 0600; none for a client that has none.",
        None,
        sample="/etc/wayside/oidc-secret",
    )
    ca_file: str | None = setting(
        "PEM file of the authority that the provider's certificate is from; none takes the public ones.",
        None,
        sample="/etc/wayside/login-ca.pem",
    )
    label: str = setting("What the button on the sign-in page says.", "Sign in with single sign-on")
    name_claim: str = setting("Claim that becomes the login name.", "preferred_username")
    groups_claim: str = setting("Claim with the list of somebody's groups.", "groups")
    scopes: list[str] = setting("What is asked for.", factory=lambda: ["openid", "profile", "email"])
    grants: list[str] = setting(
        "What members of a group may, as group=tenant:role; who is in none of them is refused.",
        factory=list,
        sample=["plant-operators=default:operator", "plant-admins=default:admin"],
    )
