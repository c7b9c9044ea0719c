"""Tries a running service against the contract: `python -m tests.opendsr URL KEY [--known
TYPE:VALUE]`.

KEY is an API key with `requests:read` and `requests:write`. The requests that are sent are for
persons who do not exist, and, with `--known`, for this one, who should be there for the purpose:
those are cancelled at once, if no worker is faster.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = ("test_contract.py", "test_bad_input.py")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.opendsr", description=__doc__)
    parser.add_argument("url", help="where the service answers, as in http://127.0.0.1:8080")
    parser.add_argument("key", help="an API key; - reads it from LOTUS_API_KEY")
    parser.add_argument("--known", help="an identity in the data, as in email:ada@example.org")
    given, passed_on = parser.parse_known_args()
    os.environ["LOTUS_CONFORMANCE_URL"] = given.url.rstrip("/")
    os.environ["LOTUS_CONFORMANCE_KEY"] = (
        os.environ["LOTUS_API_KEY"] if given.key == "-" else given.key
    )
    os.environ["LOTUS_CONFORMANCE_KNOWN"] = given.known or ""
    suite = [str(HERE / name) for name in SUITE]
    return int(pytest.main(["-q", "-p", "no:cacheprovider", *suite, *passed_on]))


if __name__ == "__main__":
    sys.exit(main())
