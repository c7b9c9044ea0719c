"""`/dashboard/`: one page and its files. They hold no data and need no key; what they show comes
from the API, with the session of whoever looks."""

from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Response
from fastapi.responses import FileResponse, RedirectResponse

from app.dashboard import plotly
from app.dashboard.files import bundle

router = APIRouter(include_in_schema=False)

# Everything comes from this service, and text of the API can become neither markup nor script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Each version of the files has addresses of its own.
_FOR_EVER = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@router.get("/")
@router.get("/dashboard")
def lead_to_dashboard() -> RedirectResponse:
    # Relative, so that it follows neither the Host header nor a prefix that a proxy took away.
    return RedirectResponse("dashboard/", status_code=307)


@router.get("/dashboard/")
def dashboard(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    found = bundle()
    tag = f'"{found.version}"'
    headers = {**_PAGE_HEADERS, "ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(found.page.content, media_type=found.page.media_type, headers=headers)


@router.get("/dashboard/files/{version}/" + plotly.PATH)
def plotly_script(
    version: str,
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    if version != bundle().version:
        raise HTTPException(404)
    smaller = "gzip" in accept_encoding
    tag = f'"plotly-{plotly.plotly_version()}{"-gzip" if smaller else ""}"'
    headers = {**_FOR_EVER, "ETag": tag, "Vary": "Accept-Encoding"}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    kind = "text/javascript; charset=utf-8"
    if not smaller:
        return FileResponse(plotly.script(), media_type=kind, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(plotly.compressed(), media_type=kind, headers=headers)


@router.get("/dashboard/files/{version}/{path:path}")
def dashboard_file(version: str, path: str) -> Response:
    found = bundle()
    file = found.files.get(path) if version == found.version else None
    if file is None:
        raise HTTPException(404)
    return Response(file.content, media_type=file.media_type, headers=_FOR_EVER)
