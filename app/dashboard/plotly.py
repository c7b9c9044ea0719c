"""Plotly's script, with which charts are drawn: a file of the installed package, which itself is
never imported."""

import gzip
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# Below the dashboard's files, so that a page finds it from where its modules are.
PATH = "lib/plotly.js"


@cache
def plotly_version() -> str:
    return version("plotly")


@cache
def script() -> Path:
    """FileNotFoundError if the package does not bring it."""
    found = find_spec("plotly")
    for folder in found.submodule_search_locations or () if found else ():
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            return path
    raise FileNotFoundError("the package plotly has no plotly.min.js")


@cache
def compressed() -> bytes:
    """About a third of 5 MB; made at the first call, in some tenths of a second."""
    return gzip.compress(script().read_bytes(), compresslevel=6, mtime=0)
