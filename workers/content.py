"""Refusals that only reading the content can give."""

from app.http.problems import Problem


class ContentProblem(Problem):
    """Ends a registration as `invalid`. Its document is stored, so it never holds a value."""

    status = 422


class UploadMissing(ContentProblem):
    code = "upload-missing"
    title = "The upload is no longer there"
