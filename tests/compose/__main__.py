"""`make compose`: starts docker-compose.yml for real, sends the demo's request through it over
HTTP, tries it against the contract of OpenDSR, and takes it down again, whatever happened in
between."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.demo import Case, play, train, training_command
from app.cli.demo_service import SCOPES
from app.cli.demo_story import print_training
from app.cli.output import Failure, console
from client import LotusClient, LotusError
from tests.compose.engine import EngineFailure, at_most, find_engine
from tests.compose.stack import Stack

START_SECONDS = 300.0
LOGS_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-minutes", type=float, default=60, help="at most, for images")
    parser.add_argument("--minutes", type=float, default=20, help="at most, for the request")
    args = parser.parse_args()
    try:
        check(args.build_minutes * 60, args.minutes * 60)
    except (EngineFailure, Failure, LotusError, KeyError) as error:
        console(stderr=True).print(f"FAILED: {error}", markup=False, soft_wrap=True)
        return 1
    say("The stack started healthy; a request went through it by HTTP until its new version was")
    say("published and pulled with the right digest; it keeps the contract of OpenDSR; nothing of")
    say("the stack is left.")
    return 0


def check(build_seconds: float, seconds: float) -> None:
    engine = find_engine()
    with Stack(engine) as stack:
        say(f"{' '.join(engine.compose)}, project {stack.name}, {stack.url}")
        try:
            with (
                at_most(build_seconds, "building"),
                step("images (at first, PyTorch is installed)"),
            ):
                stack.build()
            services = "postgres, redis, migrate, api, gpu-worker, ops-worker"
            with at_most(START_SECONDS, "starting"), step(f"{services}: until all are healthy"):
                stack.start()
            with at_most(seconds, "the request"):
                use(stack)
        except BaseException:
            tell_logs(stack)
            raise
        finally:
            say("\nTaking the stack down, with its volumes")


def use(stack: Stack) -> None:
    key = stack.make_key(SCOPES)
    with subprocess.Popen(
        training_command(stack.folder / "example", Case.SPREAD), stdout=subprocess.PIPE, text=True
    ) as training:
        try:
            about = train(training, lambda: None, as_json=False)
        finally:
            training.kill()
    print_training(about)
    with LotusClient(stack.url, key) as lotus:
        document, completed = play(lotus, stack.url, stack.folder, about, as_json=False)
    if not completed:
        raise Failure(f"the request ended as {document['request']['state']}")
    say("\nThe stack against the contract of OpenDSR")
    suite = [sys.executable, "-m", "tests.opendsr", stack.url, "-"]
    if subprocess.call(suite, env={**os.environ, "LOTUS_API_KEY": key}) != 0:
        raise Failure("the stack breaks the contract of OpenDSR")


@contextmanager
def step(text: str) -> Iterator[None]:
    began = time.monotonic()
    say(f"... {text}")
    yield
    say(f"    {time.monotonic() - began:.0f} s")


def say(text: str) -> None:
    console().print(text, markup=False, soft_wrap=True)


def tell_logs(stack: Stack) -> None:
    out = console(stderr=True)
    out.rule("last lines of every log")
    try:
        with at_most(LOGS_SECONDS, "reading the logs"):
            out.print(stack.tails(), markup=False, soft_wrap=True)
    except EngineFailure as error:
        out.print(f"no logs: {error}", markup=False)
    out.rule()


if __name__ == "__main__":
    sys.exit(main())
