"""FastAPI looks at each annotation for models of pydantic 1, which it refuses, and for that loads
the copy of pydantic 1 that pydantic 2 brings: 1.6 MB that nothing here uses. Python's own sign for
a module that is not to be had makes FastAPI go on without. To be imported before endpoints."""

import sys

sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]
