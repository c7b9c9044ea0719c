"""What the guides state about the code is compared with the code."""

import re
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from app.cli import commands
from app.config import Settings
from app.erasure import states
from app.keys.scopes import Scope
from app.registry.verification_policy import VerificationPolicy
from workers.architectures import BUILT_IN

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()


def table_rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without code marks."""
    return [
        [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and not set(line) <= set("|-: ")
    ]


def test_the_settings_page_names_every_setting_and_no_other() -> None:
    listed = [row[0] for row in table_rows((DOCS / "settings.md").read_text())[1:]]
    assert listed == [f"LOTUS_{name.upper()}" for name in Settings.model_fields]


def test_the_settings_page_explains_each_setting_in_the_code_s_words() -> None:
    explained = {row[0]: row[-1] for row in table_rows((DOCS / "settings.md").read_text())[1:]}
    for name, field in Settings.model_fields.items():
        described = (field.description or "").replace("`", "")
        assert explained[f"LOTUS_{name.upper()}"] == described


@pytest.mark.parametrize(
    ("heading", "table"),
    [("Requests", states.REQUEST), ("Items", states.ITEM), ("Runs", states.RUN)],
)
def test_the_states_page_shows_the_moves_of_the_code(
    heading: str, table: Mapping[str, states.Place]
) -> None:
    section = (DOCS / "states.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    shown = {
        row[0]: (set(filter(None, row[1].split(", "))), row[2]) for row in table_rows(section)[1:]
    }
    assert shown == {
        str(state): (
            {str(following) for following in place.next} or {"-"},
            str(place.owner or "-"),
        )
        for state, place in table.items()
    }


def test_the_readme_leads_to_every_guide() -> None:
    linked = set(re.findall(r"\]\(docs/([a-z-]+\.md)", README))
    assert {page.name for page in DOCS.glob("*.md")} - linked == set()


def test_the_readme_names_every_folder_of_the_service() -> None:
    domains = {init.parent.name for init in (ROOT / "app").glob("*/__init__.py")}
    section = README.split("## What is in the folders\n")[1]
    assert {name for name in domains if f"`{name}`" not in section} == set()


def leaves(command: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(command, TyperGroup):
        return {name: command}
    found = {name: command} if command.invoke_without_command else {}
    for part, child in command.commands.items():
        found |= leaves(child, f"{name} {part}".strip())
    return found


def test_the_readme_lists_every_command_and_which_of_them_speak_json() -> None:
    section = README.split("## Command line and client\n")[1].split("\n```")[0]
    listed = {
        name
        for row in re.findall(r"^\| (`lotus .*) \|.*\|$", section, re.MULTILINE)
        for name in re.findall(r"`(?:lotus )?([a-z -]+)`", row)
    }
    known = leaves(typer.main.get_command(commands))
    assert listed == set(known)
    silent = {
        name
        for name, command in known.items()
        if not any("--json" in one.opts for one in command.params)
    }
    assert silent == {"worker gpu", "worker ops"}
    assert "all but `worker gpu` and `worker ops`" in section


def test_each_decision_has_a_number_of_its_own_in_the_file_s_name_and_none_in_its_title() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    numbers = [re.match(r"(\d{4})-[a-z]", page.name) for page in pages]
    assert len({number[1] for number in numbers if number}) == len(pages)
    for page in pages:
        assert re.match(r"# [A-Z]", page.read_text()), page.name


def test_every_scope_is_explained() -> None:
    text = (DOCS / "keys.md").read_text()
    assert [scope for scope in Scope if f"`{scope}`" not in text] == []


def test_contributing_says_why_each_dependency_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[><=;~ ]", line)[0] for line in wanted}
    rows = table_rows((ROOT / "CONTRIBUTING.md").read_text())
    assert names == {row[0] for row in rows if row[0] in names}
    listed = {row[0] for row in rows if len(row) == 2} - {"dependency"}
    assert listed == names


def test_the_margins_of_a_verdict_are_listed_with_their_defaults() -> None:
    section = (DOCS / "reading-a-report.md").read_text().split("## Margins and levels\n")[1]
    listed = {row[0]: float(row[1]) for row in table_rows(section)[1:]}
    assert listed == VerificationPolicy().model_dump()


def test_every_architecture_is_listed_with_the_fields_of_its_config_and_their_defaults() -> None:
    section = (DOCS / "registering.md").read_text().split("## The model\n")[1]
    table = section.split("| architecture |")[1].split("\n\n")[0]
    listed = {row[0]: row[1] for row in table_rows(table)}
    assert list(listed) == list(BUILT_IN)
    for name, config in BUILT_IN.items():
        assert re.sub(r" \([^)]*\)", "", listed[name]).split(", ") == list(config.model_fields)
        defaults = {
            field: str(info.default)
            for field, info in config.model_fields.items()
            if not info.is_required()
        }
        assert dict(re.findall(r"(\w+) \((\d+)\)", listed[name])) == defaults
