"""The commands of the pages, carried out in one folder before one service that runs for real.

The customers whom the pages name are in nobody's data here, so their requests end at once, with a
certificate that says so.
"""

import json
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.docs.conftest import Site
from tests.docs.pages import Block, blocks, runnable
from tests.end_to_end.service import until
from workers import architectures


@pytest.fixture(scope="module")
def registered(site: Site) -> Site:
    """With the dataset and the model of the page about registering, made as it says."""
    for number in (1, 2, 3):
        Image.new("L", (8, 8), 60 * number).save(site.folder / f"{number}.png")
    for block in runnable("docs/registering.md", "python"):
        site.run([sys.executable, "-c", block.text])
    (shown,) = [block.text for block in blocks("docs/registering.md") if block.language == "json"]
    dataset, model = (json.loads(text) for text in shown.split("\n\n"))
    (site.folder / "dataset.json").write_text(json.dumps(dataset))
    (site.folder / "model.json").write_text(json.dumps(model))
    torch.manual_seed(0)
    network = architectures.build(model["architecture"], model["config"])
    save_file(network.state_dict(), site.folder / model["weights"])
    assert "ready" in site.run(["lotus", "datasets", "register", "."])
    assert "ready" in site.run(["lotus", "models", "register", "."])
    return site


def test_a_folder_made_as_the_page_says_is_registered(registered: Site) -> None:
    (dataset,) = registered.service.client.list_datasets()
    assert dataset.split_counts == {"train": 1, "validation": 1, "test": 1}
    (model,) = registered.service.client.list_models()
    assert model.state == "ready"


def test_the_readme_s_program_follows_a_request_to_its_end(registered: Site) -> None:
    (block,) = runnable("README.md", "python")
    url = "http://127.0.0.1:8080"
    assert url in block.text
    begin = "import os\nkey = os.environ['LOTUS_API_KEY']\n"
    program = begin + block.text.replace(url, registered.service.client.base_url)
    said = registered.run([sys.executable, "-c", program])
    assert said.splitlines()[-1] == "completed"


def test_opendsr_s_commands_send_a_request_and_check_the_answer(registered: Site) -> None:
    # Nobody vouches for the certificate that the service has made for itself, but this.
    trusting = Block("", 0, "bash", "export SSL_CERT_FILE=processor.pem")
    said = registered.bash([trusting, *runnable("docs/opendsr.md", "bash")])
    assert "201 Created" in said
    assert "processor.pem: OK" in said
    assert "does match certificate" in said and "Verified OK" in said


def test_keys_are_made_rotated_and_revoked_at_the_prompt(site: Site) -> None:
    made = site.service.client.create_key("to be revoked", ["requests:read"])
    said = site.bash(runnable("docs/keys.md", "bash"), key=made.id)
    assert "Example Ltd" in said and "lot_" in said
    ended = {key.id for key in site.service.client.list_keys() if key.revoked_at is not None}
    assert made.id in ended


def test_a_controller_is_given_its_public_holidays(site: Site) -> None:
    assert "DE-BE" in site.bash(runnable("docs/deadlines.md", "bash"))


def test_receivers_are_registered_and_tried(site: Site) -> None:
    first = site.service.client.create_webhook("https://privacy.invalid/first")
    said = site.bash(runnable("docs/callbacks.md", "bash"), webhook=first.id)
    assert said.count("whsec_") == 2
    assert "msg_" in said
    assert len(list(site.service.client.list_webhooks())) == 3


def test_a_kept_checkpoint_is_one_that_the_service_continues(site: Site) -> None:
    client = site.service.client
    until(lambda: client.http.get("/api/v1/audit/checkpoint").status_code == 200 or None, "a head")
    (key,) = client.http.get("/api/v1/signing-keys").json()["items"]
    said = site.bash(
        runnable("docs/audit-log.md", "bash"),
        url=client.base_url,
        signing_key=f"keys/{key['key_id']}.pem",
    )
    assert "entries of the given checkpoint are as they were" in said
    assert (site.folder / "kept-2026-03-01").read_text().count("\n") > 3
