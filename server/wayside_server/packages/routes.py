"""What a board asks for when it installs: the script, a package index (PEP 503, PEP 658), and requirements files.

All of it is public: it is the same free software for everybody, and a board has no identity before it is installed.
"""

import html
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from wayside_server.domain.access import Permission, requires
from wayside_server.errors import ConfigError
from wayside_server.packages.installer import Site, excuse, installer
from wayside_server.packages.shelf import FETCH, Manifest, PackageFile, Shelf

WHEEL = "application/zip"
ARCHIVE = "application/gzip"
TEXT = "text/plain; charset=utf-8"
MAX_NAME = 200
"""Characters; the longest wheel's name has about 100."""
_SAME_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

Name = Annotated[str, PathParameter(max_length=MAX_NAME)]


def packages_router(shelf: Shelf, site: Callable[[], Site]) -> APIRouter:
    """The routes of an installation.

    Args:
        shelf: what there is to install.
        site: where boards find the server, as it is now.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/install.sh")
    @requires(Permission.PUBLIC)
    async def script() -> Response:
        try:
            shelf.filled()
        except ConfigError:
            # curl -f would show the status of an error and not what to do.
            return PlainTextResponse(excuse(f"the server has nothing to install yet; on it, run: {FETCH}"))
        return PlainTextResponse(installer(site()), headers={"Cache-Control": "no-cache"})

    @router.get("/install/{name}")
    @requires(Permission.PUBLIC)
    async def text(name: Name) -> Response:
        if name not in _filled(shelf).texts:
            raise HTTPException(404)
        return FileResponse(shelf.path / name, media_type=TEXT, headers={"Cache-Control": "no-cache"})

    _add_index(router, shelf)
    return router


def _add_index(router: APIRouter, shelf: Shelf) -> None:
    @router.get("/simple/")
    @requires(Permission.PUBLIC)
    async def projects() -> Response:
        names = sorted({file.project for file in _filled(shelf).files})
        return _page("Packages", [f'<a href="{name}/">{name}</a>' for name in names])

    @router.get("/simple/{project}/")
    @requires(Permission.PUBLIC)
    async def files(project: Name) -> Response:
        found = [file for file in _filled(shelf).files if file.project == project]
        if not found:
            raise HTTPException(404)
        return _page(project, [_link(file) for file in found])

    @router.get("/simple/{project}/{name}")
    @requires(Permission.PUBLIC)
    async def download(request: Request, project: Name, name: Name) -> Response:
        manifest = _filled(shelf)
        file = manifest.file(project, name)
        if file is not None:
            return _file(request, shelf.files / file.name, file.sha256, WHEEL if name.endswith(".whl") else ARCHIVE)
        file = manifest.file(project, name.removesuffix(".metadata"))
        if file is None or file.metadata_sha256 is None:
            raise HTTPException(404)
        return _file(request, shelf.files / f"{file.name}.metadata", file.metadata_sha256, TEXT)


def _filled(shelf: Shelf) -> Manifest:
    try:
        return shelf.filled()
    except ConfigError as error:
        raise HTTPException(404, f"the server has nothing to install yet; on it, run: {FETCH}") from error


def _file(request: Request, path: Path, sha256: str, media_type: str) -> Response:
    """A file under the hash that the manifest has for it; not sent to whoever has it already (RFC 9110, 13.1.2)."""
    try:
        changed = path.stat().st_mtime
    except OSError as error:
        raise HTTPException(404, f"{path.name} is gone from the server; on it, run: {FETCH}") from error
    headers = {"ETag": f'"{sha256}"', "Last-Modified": formatdate(changed, usegmt=True)} | _SAME_FOR_EVER
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {headers["ETag"], "*"}:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=media_type, headers=headers)


def _page(title: str, links: list[str]) -> Response:
    body = "<br>\n".join(links)
    return HTMLResponse(
        '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0">'
        f"<title>{html.escape(title)}</title></head><body>\n{body}\n</body></html>\n",
        headers={"Cache-Control": "no-cache"},
    )


def _link(file: PackageFile) -> str:
    name = html.escape(file.name)
    metadata = f' data-core-metadata="sha256={file.metadata_sha256}"' if file.metadata_sha256 else ""
    return f'<a href="{name}#sha256={file.sha256}"{metadata}>{name}</a>'
