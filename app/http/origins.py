"""Whether a call was made by a page of this service itself.

A browser sends a cookie along whichever page made it call, so a call that has its right from a
cookie must also show where it comes from. Browsers say so in two headers that no page can write:
`Sec-Fetch-Site` (W3C Fetch Metadata), which not all of them send nor to every address, and `Origin`
(RFC 6454), which all send with whatever changes something.
"""

import re

from fastapi import Request

from app.http.problems import Problem, UnsupportedMediaType

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_OTHERS = {"same-site", "cross-site"}
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_PLACE = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
_HOST = re.compile(_PLACE)
_ORIGIN = re.compile(rf"(https?)://{_PLACE}")


class CrossSite(Problem):
    status = 403
    code = "cross-site"
    title = "The call does not come from a page of this service"


def is_secure(request: Request, public_url: str | None) -> bool:
    """Whether the caller came by https, as far as anybody knows: a proxy that is not trusted hides
    it, and the public address tells."""
    return request.url.scheme == "https" or (public_url or "").startswith("https://")


def require_own_page(request: Request, public_url: str | None) -> None:
    """CrossSite unless a page of this service made the call, UnsupportedMediaType if it has a body
    that is no JSON: a form can be sent from anywhere, and sends none."""
    if not _is_from_own_page(request, public_url):
        raise CrossSite(
            "A session serves the pages of this service alone. Programs send `Authorization: "
            "Bearer lot_…`. Behind a proxy that changes Host, LOTUS_PUBLIC_URL must be set."
        )
    if _has_body(request) and not _says_json(request):
        raise UnsupportedMediaType("With a session the body must be application/json.")


def refuse_other_pages(request: Request) -> None:
    """For what only reads: CrossSite if a browser says that a page of another origin asks. Such a
    page gets at no answer, but that somebody has read something can itself be an entry."""
    if _OTHERS & set(request.headers.getlist("sec-fetch-site")):
        raise CrossSite("A session serves the pages of this service alone.")


def _is_from_own_page(request: Request, public_url: str | None) -> bool:
    """`none`, which means that a person typed the address, is not enough: so nothing is written."""
    if fetched := request.headers.getlist("sec-fetch-site"):
        return fetched == ["same-origin"]
    origins, hosts = request.headers.getlist("origin"), request.headers.getlist("host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    named = _origin(origins[0])
    if named is None:
        return False
    if public_url is not None and named == _origin(public_url):
        return True
    scheme, *place = named
    if is_secure(request, public_url) and scheme != "https":
        return False
    # Where only a proxy knows the scheme, it is the page's own that says what Host leaves out.
    asked = _HOST.fullmatch(hosts[0].lower())
    return asked is not None and place == [asked[1], asked[2] or _DEFAULT_PORTS[scheme]]


def _origin(text: str) -> tuple[str, str, str] | None:
    """Scheme, host and port; None for `null` and whatever else is no origin of a page."""
    found = _ORIGIN.fullmatch(text.lower())
    return found and (found[1], found[2], found[3] or _DEFAULT_PORTS[found[1]])


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _says_json(request: Request) -> bool:
    kinds = [
        kind.partition(";")[0].strip().lower() for kind in request.headers.getlist("content-type")
    ]
    return kinds == ["application/json"]
