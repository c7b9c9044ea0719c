"""The dashboard's files, read once. Nothing is served but what is listed here."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from app.dashboard.packing import File
from app.dashboard.plotly import plotly_version

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True)
class Bundle:
    """`version` names all files together: a page and its modules are always of one version.
    Plotly's script, which is no file of ours, counts as one of them. `files` are by their path
    below `web/`, without the page itself."""

    version: str
    page: File
    files: Mapping[str, File]


@cache
def bundle() -> Bundle:
    found = dict(_walk(files("app.dashboard") / "web", ""))
    digest = hashlib.sha256(plotly_version().encode())
    for path in sorted(found):
        digest.update(path.encode() + b"\0" + hashlib.sha256(found[path].content).digest())
    version = digest.hexdigest()[:16]
    page = found.pop(_INDEX)
    filled = page.content.replace(b"{version}", version.encode())
    return Bundle(version, File(filled, page.media_type), found)


def _walk(folder: Traversable, below: str) -> Iterator[tuple[str, File]]:
    for one in folder.iterdir():
        # What an editor leaves lying is none of ours, and may lead anywhere.
        if one.name.startswith("."):
            continue
        path = below + one.name
        if one.is_dir():
            yield from _walk(one, path + "/")
        elif (kind := _TYPES.get(one.name.rpartition(".")[2])) is not None:
            yield path, File(one.read_bytes(), kind)
