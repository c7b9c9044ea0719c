"""`make e2e`: the dashboard in a browser, on a service with a small model.

    python -m tests.e2e [arguments of pytest]

Needs an installed Chromium or Chrome; LOTUS_TEST_BROWSER names another program than the first that
is found. Pictures of every page are left in build/e2e.
"""

import os
import shutil
import sys

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    found = os.environ.get("LOTUS_TEST_BROWSER") or next(
        filter(None, map(shutil.which, BROWSERS)), ""
    )
    if not found:
        print("No browser was found: install chromium, or name one in LOTUS_TEST_BROWSER")
        return 1
    os.environ["LOTUS_TEST_BROWSER"] = found
    return int(pytest.main(["tests/e2e", *sys.argv[1:]]))


sys.exit(main())
