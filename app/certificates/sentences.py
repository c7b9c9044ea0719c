"""Sentences and figures that may stand in a certificate.

A certificate says what was measured. It never says that somebody's data is gone from a model, that
a law is met, or that the result is what training without the samples would have given: nobody has
measured that, and nobody can.
"""

import math
import re
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

_PROMISE = re.compile(
    r"\b(erased|forgotten|forgot|compliant|compliance|complies|equivalent\s+to\s+retrain\w*)\b",
    re.IGNORECASE,
)
_FIGURE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LONGEST_SENTENCE = 500


def _promises_nothing(sentence: str) -> str:
    if _PROMISE.search(sentence):
        raise ValueError("claims more than was measured")
    return sentence


def _plain_figures(figures: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _check(figures)
    return figures


def _check(value: JsonValue) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not _FIGURE_NAME.fullmatch(name):
                raise ValueError("the name of a figure has a character that it must not have")
            _check(inner)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, str):
        if len(value) > LONGEST_SENTENCE:
            raise ValueError("a text among the figures is too long")
        _promises_nothing(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a figure is not a finite number")


Sentence = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_SENTENCE, pattern=r"^[^\x00-\x1f]*$"),
    AfterValidator(_promises_nothing),
]
# Nested numbers, codes and short sentences of the service's own, such as a verification report.
Figures = Annotated[dict[str, JsonValue], AfterValidator(_plain_figures)]
