"""Every command of the pages is run by a test, or a table says why not."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import EXCUSED, OWNERS, PAGES, ROOT, RUN, SHOWN, Block, blocks

ALL = [block for page in PAGES for block in blocks(page)]
OPENAPI = json.loads((ROOT / "openapi.json").read_bytes())
TARGETS = set(re.findall(r"^([a-z][a-z0-9]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


def test_every_block_says_its_language() -> None:
    assert [block.place for block in ALL if block.language not in (*RUN, *SHOWN, "mermaid")] == []


def test_every_command_is_run_by_a_test_or_a_table_says_why_not() -> None:
    nobody_s = [
        block.place
        for block in of(*RUN)
        if block.excuse is None and (block.page, block.language) not in OWNERS
    ]
    assert nobody_s == []


def test_the_tables_name_nothing_that_is_not_there() -> None:
    assert set(OWNERS) <= {(block.page, block.language) for block in ALL if block.excuse is None}
    for page, begin in EXCUSED:
        excused = [one for one in of(*RUN) if one.page == page and one.text.startswith(begin)]
        assert len(excused) == 1, (page, begin)


@pytest.mark.parametrize(("owned", "test"), OWNERS.items(), ids=str)
def test_an_owner_takes_all_blocks_of_its_page(owned: tuple[str, str], test: str) -> None:
    page, language = owned
    called = [
        {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
        for node in ast.walk(ast.parse((ROOT / test).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "runnable"
    ]
    assert any({page, language} <= arguments for arguments in called)


@pytest.mark.parametrize("block", of("bash"), ids=lambda block: block.place)
def test_bash_can_read_every_block(block: Block) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.place)
def test_python_can_read_every_block(block: Block) -> None:
    compile(block.text, block.place, "exec")


@pytest.mark.parametrize("block", of("json"), ids=lambda block: block.place)
def test_what_is_shown_as_json_is_json(block: Block) -> None:
    rest, decoder = block.text.strip(), json.JSONDecoder()
    while rest:
        _, end = decoder.raw_decode(rest)
        rest = rest[end:].lstrip()


@pytest.mark.parametrize("block", of("http"), ids=lambda block: block.place)
def test_a_call_that_is_shown_is_one_of_the_api_s_with_its_fields(block: Block) -> None:
    method, path, body = block.text.split(None, 2)
    (operation,) = [
        verbs[method.lower()]
        for known, verbs in OPENAPI["paths"].items()
        if re.sub(r"\{.*?\}", "{}", known) == re.sub(r"\{.*?\}", "{}", path)
    ]
    shape = operation["requestBody"]["content"]["application/json"]["schema"]
    name = shape["$ref"].rpartition("/")[2]
    assert set(json.loads(body)) <= set(OPENAPI["components"]["schemas"][name]["properties"])


def test_every_target_of_make_that_a_page_names_is_in_the_makefile() -> None:
    named = {
        (page, target)
        for page in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z][a-z0-9]*)", (ROOT / page).read_text(), re.M)
    }
    assert len(named) > 15
    assert {(page, target) for page, target in named if target not in TARGETS} == set()


def test_the_owners_are_there() -> None:
    assert [test for test in OWNERS.values() if not Path(ROOT / test).is_file()] == []
