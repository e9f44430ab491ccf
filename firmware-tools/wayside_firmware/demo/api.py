"""The server's REST API as the demo asks it: HTTPS, the installation's own CA, one key."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from wayside_shared.errors import TransientError

TIMEOUT_S = 10.0


class Api:
    """Requests to one server.

    Args:
        port: where it serves on this machine.
        ca_file: the certificate to trust; must exist at the first request.
        key: an API key; not needed for public routes.
    """

    def __init__(self, port: int, ca_file: Path, key: str = "") -> None:
        self.base = f"https://localhost:{port}"
        self._port = port
        self._ca_file = ca_file
        self.key = key

    def get(self, path: str) -> Any:
        """The JSON at `path`.

        Raises:
            TransientError: no answer, or one that is not 200.
        """
        with self.open(path) as response:
            return json.load(response)

    @contextmanager
    def open(self, path: str) -> Iterator[HTTPResponse]:
        """The answer to GET `path`, to be read inside the block.

        Raises:
            TransientError: as `get`.
        """
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            connection = HTTPSConnection("127.0.0.1", self._port, timeout=TIMEOUT_S, context=context)
            try:
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise TransientError(f"the server answers {response.status} to {path}: {_detail(response)}")
                yield response
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as error:
            raise TransientError(f"the server does not answer {path}: {str(error) or type(error).__name__}") from error


def _detail(response: HTTPResponse) -> str:
    try:
        problem = json.loads(response.read(4096))
    except ValueError:
        return "it does not say why"
    return str(problem.get("detail") if isinstance(problem, dict) else problem)
