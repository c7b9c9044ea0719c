"""Plotly's script: out of the installed package, without the package itself."""

import gzip
import re
import subprocess
import sys
from hashlib import sha256

import pytest
from fastapi.testclient import TestClient

from app.dashboard import plotly
from tests.dashboard.test_files import base, texts


def test_it_is_served_as_it_is_in_the_package_and_may_be_kept_for_ever(
    anonymous: TestClient,
) -> None:
    answer = anonymous.get(base(anonymous) + plotly.PATH, headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert sha256(answer.content).digest() == sha256(plotly.script().read_bytes()).digest()
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in answer.headers


def test_whoever_takes_gzip_is_sent_a_third(anonymous: TestClient) -> None:
    answer = anonymous.get(base(anonymous) + plotly.PATH, headers={"Accept-Encoding": "br, gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) * 3 < plotly.script().stat().st_size
    assert gzip.decompress(plotly.compressed()) == plotly.script().read_bytes()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_unchanged_script_is_answered_with_304(anonymous: TestClient, encoding: str) -> None:
    path = base(anonymous) + plotly.PATH
    headers = {"Accept-Encoding": encoding}
    tag = anonymous.get(path, headers=headers).headers["ETag"]
    again = anonymous.get(path, headers={**headers, "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    other = "gzip" if encoding == "identity" else "identity"
    changed = anonymous.get(path, headers={"Accept-Encoding": other, "If-None-Match": tag})
    assert changed.status_code == 200


def test_it_is_not_at_the_address_of_another_version(anonymous: TestClient) -> None:
    answer = anonymous.get(f"/dashboard/files/0123456789abcdef/{plotly.PATH}")
    assert answer.status_code == 404


def test_no_page_asks_for_it_before_a_chart_is_drawn() -> None:
    assert plotly.PATH not in texts()["index.html"]
    naming = [name for name, text in texts().items() if plotly.PATH in text]
    assert naming == ["charts/plotly.js"]
    assert 'await import("../lib/plotly.js")' in texts()["charts/plotly.js"]


def test_the_service_serves_it_without_importing_the_package() -> None:
    script = (
        "import sys, app.main\n"
        "from app.dashboard import plotly\n"
        "plotly.script(); plotly.plotly_version()\n"
        "print(sorted(one for one in ('plotly', 'narwhals') if one in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_it_has_no_style_sheet_that_the_page_does_not_keep_out() -> None:
    """Each asks for an element of its name before it writes; the page's policy would refuse it, and
    the console would say so."""
    text = plotly.script().read_text()
    kept_out = re.findall(r'^  "([^"]+)",$', texts()["charts/plotly.js"], re.MULTILINE)
    assert len(kept_out) == 2
    assert len(re.findall(r'createElement\("style"\)', text)) == len(kept_out)
    for name in kept_out:
        # The first is put together in the script, of this and the word "global".
        assert f'"{name.removesuffix("global")}' in text
