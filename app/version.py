"""Which code this is: what a certificate says computed its figures."""

from functools import cache
from importlib import metadata


@cache
def code_version() -> str:
    try:
        return metadata.version("lotus-unlearning")
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"
