"""Text that a caller gives and people read: in logs, terminals and pages, on one line or several.

It has no control character (those of C1 move a terminal's cursor as well), none that turns the
direction of what follows it, and no separator that some programs break lines at.
"""

from typing import Annotated, Any

from pydantic import Field

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+$"
SEVERAL_LINES = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+$"
# For the description of a text whose blanks at both ends are taken away before it is looked at.
NOT_BLANK: dict[str, Any] = {"allOf": [{"pattern": r"\S"}]}

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=ONE_LINE)]
