"""Files travel packed to whoever can unpack them; answers of the API never do."""

import gzip

import pytest
from fastapi.testclient import TestClient

from app.dashboard.files import bundle
from tests.dashboard.test_files import PAGE, base

PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize("path", ["", "main.js", "styles/base.css"])
def test_a_file_is_the_same_packed_and_as_it_is(anonymous: TestClient, path: str) -> None:
    address = base(anonymous) + path if path else PAGE
    plain = anonymous.get(address, headers=PLAIN)
    packed = anonymous.get(address, headers={"Accept-Encoding": "br;q=1, gzip;q=0.8"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content, "the client has unpacked it"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    for answer in (plain, packed):
        assert answer.headers["Vary"] == "Accept-Encoding"
    same = {"Content-Type", "Cache-Control", "Content-Security-Policy"}
    assert {n: plain.headers.get(n) for n in same} == {n: packed.headers.get(n) for n in same}


@pytest.mark.parametrize("path", ["", "main.js"])
def test_each_form_has_a_tag_of_its_own(anonymous: TestClient, path: str) -> None:
    address = base(anonymous) + path if path else PAGE
    tags = {}
    for coding in ("identity", "gzip"):
        headers = {"Accept-Encoding": coding}
        tags[coding] = anonymous.get(address, headers=headers).headers["ETag"]
        again = anonymous.get(
            address, headers={**headers, "If-None-Match": f'"x", W/{tags[coding]}'}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == tags[coding]
        assert again.headers["Vary"] == "Accept-Encoding"
    assert tags["identity"] != tags["gzip"]
    crossed = {"Accept-Encoding": "gzip", "If-None-Match": tags["identity"]}
    assert anonymous.get(address, headers=crossed).status_code == 200


@pytest.mark.parametrize(
    "said", ["", "identity", "gzip;q=0", "gzip; q=0.000", "deflate, br", "*", "gzipped", "x;gzip"]
)
def test_who_does_not_take_gzip_gets_none(anonymous: TestClient, said: str) -> None:
    answer = anonymous.get(base(anonymous) + "main.js", headers={"Accept-Encoding": said})
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers


def test_a_packed_file_says_no_time_and_is_the_same_at_each_start() -> None:
    for path, file in bundle().files.items():
        if file.packed is not None:
            assert file.packed[4:8] == bytes(4), path
            assert gzip.decompress(file.packed) == file.content
            assert len(file.packed) < len(file.content)


def test_no_answer_of_the_api_is_packed(api: TestClient) -> None:
    """They hold secrets beside texts that others chose, and lengths would tell of them."""
    for path in (
        "/api/v1/session",
        "/api/v1/overview",
        "/api/v1/keys",
        "/openapi.json",
        "/nowhere",
    ):
        answer = api.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert "Content-Encoding" not in answer.headers, path


@pytest.mark.parametrize("path", ["/", "/dashboard", PAGE])
def test_whoever_asks_for_the_head_alone_is_answered(anonymous: TestClient, path: str) -> None:
    head = anonymous.head(path, follow_redirects=False)
    full = anonymous.get(path, follow_redirects=False)
    assert head.status_code == full.status_code
    left = {"x-request-id"}
    told = {name: value for name, value in full.headers.items() if name not in left}
    assert {name: head.headers[name] for name in told} == told
