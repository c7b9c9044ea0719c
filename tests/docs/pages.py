"""The fenced blocks of the pages, who carries out which of them, and which nobody does, and why.

A block says its language. What is `bash` or `python` is run by the test that owns its page; a test
takes all blocks that `runnable` gives, so that a new one is run, or fails, by itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Every page for people, by its path.
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "app/dashboard/README.md",
        ROOT / "benchmarks/README.md",
        ROOT / "examples/digits/README.md",
        ROOT / "workers/unlearning/README.md",
    )
)
RUN = ("bash", "python")
SHOWN = ("text", "json", "yaml", "http", "js")

# Page and language: the test that runs every such block of the page but those of EXCUSED.
OWNERS: Mapping[tuple[str, str], str] = {
    ("README.md", "python"): "tests/docs/test_running.py",
    ("docs/api.md", "bash"): "tests/client/test_api_guide.py",
    ("docs/api.md", "python"): "tests/client/test_api_guide.py",
    ("docs/audit-log.md", "bash"): "tests/docs/test_running.py",
    ("docs/callbacks.md", "bash"): "tests/docs/test_running.py",
    ("docs/callbacks.md", "python"): "tests/webhooks/test_guide.py",
    ("docs/deadlines.md", "bash"): "tests/docs/test_running.py",
    ("docs/keys.md", "bash"): "tests/docs/test_running.py",
    ("docs/opendsr.md", "bash"): "tests/docs/test_running.py",
    ("docs/quickstart.md", "bash"): "tests/end_to_end/test_quickstart.py",
    ("docs/registering.md", "python"): "tests/docs/test_running.py",
    ("docs/verifying.md", "bash"): "tests/architecture/test_verifying_page.py",
    ("docs/verifying.md", "python"): "tests/architecture/test_verifying_page.py",
}

_CONTAINERS = "needs a container engine, and minutes: `make compose` starts the same files"
_OTHER_MACHINES = "needs a container engine and GPUs, or other machines"
_TARGETS = "installs and runs for minutes; the targets are looked up in the Makefile instead"
# Page and how the block begins: why nobody runs it. Each is read by bash all the same, and its
# commands of `lotus` are checked for their form.
EXCUSED: Mapping[tuple[str, str], str] = {
    ("README.md", "make demo"): _TARGETS,
    ("CONTRIBUTING.md", "make lint"): _TARGETS,
    ("docs/quickstart.md", "make serve"): _TARGETS,
    (
        "docs/quickstart.md",
        "export LOTUS_URL=",
    ): "what the service prints: the test has a service and a key of its own",
    (
        "docs/quickstart.md",
        ".venv/bin/python examples/digits/train.py",
    ): "ten seconds of training, which the fixture `digits` has done for all tests",
    (
        "docs/quickstart.md",
        "item=",
    ): "decides on a request that waits for it, to which only some runs lead",
    (
        "docs/audit-log.md",
        "LOTUS_DATABASE_URL=",
    ): "makes a role of the whole server; tests/test_service_role.py makes one of its own",
    ("docs/opendsr.md", "python -m tests.opendsr"): "the tests of tests/opendsr, run here anyway",
    ("docs/deploying.md", "docker build --target worker"): _CONTAINERS,
    ("docs/deploying.md", "make env"): _CONTAINERS,
    ("docs/deploying.md", "alias up='podman-compose"): _CONTAINERS,
    ("docs/deploying.md", "docker compose -f docker-compose.yml"): _OTHER_MACHINES,
    ("docs/deploying.md", "docker compose exec gpu-worker"): _OTHER_MACHINES,
    ("docs/deploying.md", "docker run -d --init --gpus all"): _OTHER_MACHINES,
    ("docs/deploying.md", "docker compose exec -T postgres"): _CONTAINERS,
    ("docs/deploying.md", "git pull"): _CONTAINERS,
}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def excuse(self) -> str | None:
        """Why nobody runs it."""
        for (page, begin), why in EXCUSED.items():
            if page == self.page and self.text.startswith(begin):
                return why
        return None


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> list[Block]:
    """In the order of the page. `language` is empty where the block names none."""
    text = text_of(page)
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def runnable(page: str, *languages: str) -> list[Block]:
    """What the owner of the page runs, in the order of the page."""
    assert all((page, language) in OWNERS for language in languages)
    return [block for block in blocks(page) if block.language in languages and block.excuse is None]


def prose(page: str) -> str:
    """The page without its fenced blocks, line for line."""
    return re.sub(
        r"^```.*?^```$",
        lambda found: "\n" * found[0].count("\n"),
        text_of(page),
        flags=re.DOTALL | re.MULTILINE,
    )


def spans(page: str) -> list[str]:
    """The code in the running text, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]
