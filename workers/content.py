"""Refusals that only reading the content can give."""

from app.http.problems import Problem


class ContentProblem(Problem):
    """Ends a registration as `invalid`. Its document is stored, so it never holds a value."""

    status = 422


class UploadMissing(ContentProblem):
    code = "upload-missing"
    title = "The upload is no longer there"


class ContentTooLarge(ContentProblem):
    code = "content-too-large"
    title = "Reading the content takes too much memory"


def too_large() -> ContentTooLarge:
    return ContentTooLarge(
        "The worker's limit, LOTUS_CHECK_MEMORY_BYTES, was reached. Register the content in "
        "smaller parts, or ask whoever operates the service for a higher limit."
    )


class SuppressedPersons(ContentProblem):
    """`rows`: how many. Which ones is not said: it would be kept with the dataset, and would tell a
    key that may only register who asked for an erasure."""

    code = "suppressed-persons"
    title = "The dataset holds rows of persons whose data must not come back"

    def __init__(self, rows: int) -> None:
        super().__init__(
            f"{rows} row{'s belong' if rows != 1 else ' belongs'} to persons with an erasure "
            "request that stands, or who are suppressed since their case was closed. Leave out the "
            "rows of everybody who asked for erasure, or register with `on_suppressed: flag`."
        )
        self.rows = rows
