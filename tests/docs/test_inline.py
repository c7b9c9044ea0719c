"""Commands and calls that stand in the running text: there is such a command, such a call."""

import json
import re
import shlex
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from app.cli import commands
from tests.docs.pages import PAGES, ROOT, blocks, spans

ROOT_COMMAND = typer.main.get_group(commands)
OPERATIONS = {
    (method.upper(), re.sub(r"\{.*?\}", "{}", path))
    for path, operations in json.loads((ROOT / "openapi.json").read_bytes())["paths"].items()
    for method in operations
}
KNOWN = re.compile(rf"\blotus (?:{'|'.join(ROOT_COMMAND.commands)})\b.*")
BASES = ("", "/api/v1", "/opendsr/v2")


def command_lines(page: str) -> list[str]:
    """What begins with `lotus`, in the running text and in the blocks that nobody runs. Those name
    databases and volumes like that too, so that only known commands are taken for one."""
    shown = [span for span in spans(page) if span.startswith("lotus ")]
    for block in blocks(page):
        if block.excuse is not None:
            shown += KNOWN.findall(block.text.replace("\\\n", " "))
    return shown


def fault_of(line: str) -> str | None:
    """What is wrong with a command line, or None. Words in capitals and `...` are the reader's."""
    words = shlex.split(re.split(r"[|>#;&]", line)[0])[1:]
    command: Any = ROOT_COMMAND
    while words and isinstance(command, TyperGroup) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    options = {name for one in command.params for name in one.opts} | {"--help"}
    wrong = [word for word in words if word.startswith("-") and word.split("=")[0] not in options]
    if wrong:
        return f"{line}: no option {wrong[0]}"
    if isinstance(command, TyperGroup) and words and not words[0].isupper() and words[0][0] != "-":
        return f"{line}: no command {words[0]}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_is_there_with_its_options(page: str) -> None:
    assert [fault for line in command_lines(page) if (fault := fault_of(line))] == []


def test_faults_of_command_lines_are_found() -> None:
    assert fault_of("lotus keys make") == "lotus keys make: no command make"
    assert fault_of("lotus serve --prot 1") == "lotus serve --prot 1: no option --prot"
    assert fault_of("lotus keys create --name N --scopes all | tee key") is None
    assert sum(len(command_lines(page)) for page in PAGES) > 60


def calls(page: str) -> list[tuple[str, str]]:
    """Method and path of each call that is named in full."""
    found = []
    for span in spans(page):
        named = re.match(r"(GET|POST|PUT|DELETE|PATCH) (/[\w/{}.-]*)", span)
        if named is not None:
            found.append((named[1], re.sub(r"\{.*?\}", "{}", named[2]).rstrip(".")))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_call_that_a_page_names_is_one_of_the_api_s(page: str) -> None:
    unknown = [
        (method, path)
        for method, path in calls(page)
        if not any((method, base + path) in OPERATIONS for base in BASES)
    ]
    assert unknown == []


def test_calls_are_found_in_the_text() -> None:
    assert ("DELETE", "/api/v1/suppressions/{}") in calls("docs/personal-data.md")
    assert sum(len(calls(page)) for page in PAGES) > 40
