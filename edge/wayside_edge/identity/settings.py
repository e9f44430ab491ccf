"""Settings of the device's identity."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from wayside_edge.errors import ConfigError
from wayside_edge.identity.guarding import refuse_readable
from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """`[identity]`: where certificates come from, and where the key is. `wayside-edge enroll` writes it."""

    server: str | None = setting(
        "Address of the server that renews this device's certificate; without it nothing is renewed.",
        None,
        sample="https://telemetry.example:8443",
        pattern=r"https://\S+",
    )
    rotate_key: bool = setting("Whether a renewed certificate gets a new key; a key in a token stays.", True)
    key: str | None = setting(
        "Key in a PKCS#11 token, as a URI of RFC 7512, in place of uplink.key_file.",
        None,
        sample="pkcs11:token=wayside;object=device",
        pattern=r"pkcs11:\S+",
    )
    pin_file: Path | None = setting("File with the token's PIN, mode 0600.", None, sample="/etc/wayside/pin")
    pkcs11_module: Path | None = setting("The token's PKCS#11 library.", None, sample="/usr/lib/softhsm/libsofthsm2.so")

    def __post_init__(self) -> None:
        if self.key is not None and (self.pin_file is None or self.pkcs11_module is None):
            raise ValueError("a key in a token needs pin_file and pkcs11_module beside it")

    def token(self) -> "TokenSettings | None":
        """Where the key in a token is; None when it is in a file."""
        if self.key is None or self.pin_file is None or self.pkcs11_module is None:
            return None
        return TokenSettings(self.key, self.pin_file, self.pkcs11_module)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Where a key in a token is.

    Args:
        uri: as RFC 7512 writes it, with `token` and `object`.
        pin_file: holds the PIN, mode 0600.
        module: the token's PKCS#11 library.
    """

    uri: str
    pin_file: Path
    module: Path

    @classmethod
    def of(cls, values: dict[str, str]) -> "TokenSettings":
        """From what `values` gave."""
        return cls(values["uri"], Path(values["pin_file"]), Path(values["module"]))

    def values(self) -> dict[str, str]:
        """As texts, for another process."""
        return {"uri": self.uri, "pin_file": str(self.pin_file), "module": str(self.module)}

    def attribute(self, name: str) -> str:
        """An attribute of the URI.

        Raises:
            ConfigError: it has none of that name.
        """
        for part in self.uri.removeprefix("pkcs11:").split("?")[0].split(";"):
            key, _, value = part.partition("=")
            if key == name and value:
                return unquote(value)
        raise ConfigError(f"{self.uri!r} names no {name}: write pkcs11:token=NAME;object=NAME")

    def pin(self) -> str:
        """The token's PIN.

        Raises:
            ConfigError: it cannot be read, or others can.
        """
        refuse_readable(self.pin_file, "token's PIN")
        try:
            return self.pin_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the token's PIN in {self.pin_file}: {error}") from error
