"""`/docs`: the description of the API for people, from files that come with a dependency.

Nothing is loaded from elsewhere, so it works with no internet and no other host's script ever sees
a key that somebody types in.
"""

from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse

router = APIRouter(prefix="/docs", include_in_schema=False)

_FILES = files("fastapi_offline") / "static"
_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Swagger UI styles its elements in place and shows small images of its own.
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_A_DAY = {"Cache-Control": "public, max-age=86400"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LoTUS unlearning service: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<main id="reference"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  validatorUrl: null,
});
"""


@router.get("")
def page() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/start.js")
def start() -> Response:
    return Response(_START, media_type="text/javascript", headers=_A_DAY)


@router.get("/swagger-ui-bundle.js")
def script() -> FileResponse:
    return _file("swagger-ui-bundle.js")


@router.get("/swagger-ui.css")
def style() -> FileResponse:
    return _file("swagger-ui.css")


def _file(name: str) -> FileResponse:
    return FileResponse(str(_FILES / name), media_type=_TYPES[name], headers=_A_DAY)
