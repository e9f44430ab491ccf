"""Where boards find this server."""

from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home, read_whole
from wayside_server.packages.installer import Site


def site_of(home: Home, settings: ServerSettings) -> Site:
    """The addresses and the root certificate of the installation in `home`.

    Raises:
        ConfigError: the root certificate cannot be read.
    """
    return Site(settings.api.url, settings.api.direct_url, read_whole(home.ca_file).decode("ascii"))
