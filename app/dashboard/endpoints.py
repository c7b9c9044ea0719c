"""`/dashboard/`: one page and its files. They hold no data and need no key; what they show comes
from the API, with the session of whoever looks."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from app.dashboard import plotly
from app.dashboard.files import bundle
from app.dashboard.packing import is_known, takes_gzip

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


_READ = ["GET", "HEAD"]


@router.api_route("/", methods=_READ)
@router.api_route("/dashboard", methods=_READ)
def lead_to_dashboard() -> RedirectResponse:
    # Relative, so that it follows neither the Host header nor a prefix that a proxy took away.
    return RedirectResponse("dashboard/", status_code=307)


@router.api_route("/dashboard/", methods=_READ)
def dashboard(request: Request) -> Response:
    found = bundle()
    headers = {**_PAGE_HEADERS, "Cache-Control": "no-cache"}
    return found.page.answer(request, found.version, headers)


@router.api_route("/dashboard/files/{version}/" + plotly.PATH, methods=_READ)
def plotly_script(request: Request, version: str) -> Response:
    if version != bundle().version:
        raise HTTPException(404)
    smaller = takes_gzip(request)
    tag = f'"plotly-{plotly.plotly_version()}{"-gzip" if smaller else ""}"'
    headers = {**_FOR_EVER, "ETag": tag, "Vary": "Accept-Encoding"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    kind = "text/javascript; charset=utf-8"
    if not smaller:
        return FileResponse(plotly.script(), media_type=kind, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(plotly.compressed(), media_type=kind, headers=headers)


@router.api_route("/dashboard/files/{version}/{path:path}", methods=_READ)
def dashboard_file(request: Request, version: str, path: str) -> Response:
    found = bundle()
    file = found.files.get(path) if version == found.version else None
    if file is None:
        raise HTTPException(404)
    return file.answer(request, version, _FOR_EVER)
