"""What the page for integrators says is what happens."""

import re
import subprocess
from pathlib import Path

import pytest

from app.erasure.states import RequestState
from app.opendsr.answers import _STATUS
from app.opendsr.schemas import MOST_CALLBACKS, OwnExtension
from tests.architecture.test_docs import DOCS, table_rows
from tests.opendsr.controller import Controller

PAGE = (DOCS / "opendsr.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f" {title}\n", 1)[1].split("\n## ")[0]


def test_the_commands_of_the_page_verify_an_answer_and_refuse_a_changed_one(
    controller: Controller, tmp_path: Path
) -> None:
    (commands,) = re.findall(r"```bash\n(openssl .*?)```", PAGE, re.DOTALL)
    answer = controller.get(controller.accepted(controller.nobody()))
    head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    (tmp_path / "head.txt").write_text(head)
    (tmp_path / "body.json").write_bytes(answer.raw)
    discovery = controller.client.get("/opendsr/v2/discovery").json()
    path = "/" + discovery["processor_certificate"].split("/", 3)[3]
    (tmp_path / "processor.pem").write_bytes(controller.client.get(path).content)

    def run() -> str:
        done = subprocess.run(
            ["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    said = run()
    assert "does match certificate" in said
    assert "Verified OK" in said
    (tmp_path / "body.json").write_bytes(answer.raw + b" ")
    assert "Verification" in run().replace("verification", "Verification")


def test_the_page_maps_every_state_as_the_code_does() -> None:
    rows = table_rows(section("How far it is"))[1:]
    mapped = {
        state.strip(): row[1].split(" ")[0].rstrip(",")
        for row in rows
        for state in row[0].replace(", or reopened", "").split(",")
    }
    assert mapped == {str(state): _STATUS[state] for state in RequestState}


def test_the_page_names_every_field_of_our_extension() -> None:
    rows = table_rows(section("Our extension").split("\n## ")[0])[1:]
    assert [row[0] for row in rows] == list(OwnExtension.model_fields)


def test_the_page_says_how_many_callbacks_there_may_be() -> None:
    words = {10: "ten"}
    assert f"up to {words[MOST_CALLBACKS]} `status_callback_urls`" in PAGE


@pytest.mark.parametrize("word", ["access", "portability", "md5", "sha1"])
def test_the_page_says_what_is_refused(word: str) -> None:
    assert f"`{word}`" in PAGE
