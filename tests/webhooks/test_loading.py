"""What asks for receivers is made when its module is loaded, in whatever order that happens."""

import subprocess
import sys

import pytest

from tests.end_to_end.service import ROOT

ASKED = """
{first}
from app.webhooks import telling
types = {{name: str(bound.type) for name, bound in telling._LISTENERS.compile().binds.items()}}
assert types["controller"] != "NULL" and types["request"] != "NULL", types
"""


@pytest.mark.parametrize("first", ["", "import app.schema", "import app.erasure.publishing"])
def test_its_parameters_have_a_type_whatever_was_loaded_before(first: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASKED.format(first=first)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
