"""How often the content of a registration is tried to be read before it is given up."""

from app.http.problems import Problem

LAST_ATTEMPT = 3


class RegistrationCrashed(Problem):
    status = 422
    code = "registration-crashed"
    title = "The check ended without a result, repeatedly"


def crashed() -> RegistrationCrashed:
    return RegistrationCrashed(
        f"Reading the content was tried {LAST_ATTEMPT} times. Look at the worker's log."
    )
