"""`make fuzz`: tries every operation of openapi.json with generated calls, good ones and bad ones.

    python -m tests.fuzz [--cases N] [--seed S] [--database sqlite|postgresql] [--operation ID]

The service is started here, on data of its own: a request in every state, models, keys, webhooks.
Schemathesis makes the calls from the description, and checks each answer against it: no 5xx, no
status, content type, header or body that the description does not know, nothing accepted that it
forbids, nothing refused that it allows. Prints the cases of each operation and a call of curl for
whatever was found, and exits with 1 if that was anything, or if there were fewer cases than asked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from schemathesis.cli import schemathesis

from tests.fuzz.hooks import Seen, install
from tests.fuzz.service import running
from tests.fuzz.stock import Stock

HERE = Path(__file__).parent
DESCRIPTION = HERE.parents[1] / "openapi.json"
CONFIG = HERE / "schemathesis.toml"

# Of an operation without parameters there are few different calls, however often one begins.
MOST_TURNS = 100


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=20_000, help="at least; default 20,000")
    parser.add_argument("--seed", type=int, default=1, help="other calls with another; default 1")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--operation", help="only this one, by its operationId")
    given = parser.parse_args()
    seen, code, turn = Seen(), 0, 0
    with running(given.database) as (url, stock):
        install(stock, seen)
        while seen.cases.total() < given.cases and turn < MOST_TURNS:
            code |= tried(url, stock, given, turn)
            turn += 1
    for name, count in sorted(seen.cases.items()):
        print(f"{count:7}  {name}")
    for name, count in sorted(seen.failures.items()):
        print(f"{count:7}  FAILED {name}")
    print(f"cases {seen.cases.total()}, failures {seen.failures.total()}")
    is_short = seen.cases.total() < given.cases
    if is_short:
        print(f"fewer than the {given.cases:,} that were asked for, after {turn} turns")
    return 1 if code or seen.failures or is_short else 0


def tried(url: str, stock: Stock, given: argparse.Namespace, turn: int) -> int:
    """One run of Schemathesis; each has a seed of its own. What it makes from the description alone
    is the same every time, and left to the first."""
    phases = "examples,coverage,fuzzing,stateful" if turn == 0 else "fuzzing,stateful"
    options = [
        *("--config-file", str(CONFIG), "run", str(DESCRIPTION), "--url", url),
        *("--header", f"Authorization: Bearer {stock.key}"),
        *("--seed", str(given.seed + turn), "--max-examples", str(max(1, given.cases // 150))),
        *("--phases", phases, "--request-timeout", "20", "--continue-on-failure"),
        # Of a path that may be any text, most examples cannot stand in one.
        *("--suppress-health-check", "filter_too_much,too_slow"),
    ]
    if given.operation:
        options += ["--include-operation-id", given.operation]
    try:
        schemathesis(options)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
