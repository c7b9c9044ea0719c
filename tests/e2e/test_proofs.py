"""The browser's hashes and proofs against those of the service, over more than a log has."""

import json
from hashlib import sha256
from typing import Any

import pytest

from app.audit import merkle
from app.canonical import canonical_json
from tests.e2e.conftest import Window

LOADED = "import(document.querySelector('script[type=module]').src.replace('main.js', '{}'))"

VALUES: list[Any] = [
    {
        "b": 1,
        "a": [1.0, 0.0, -0.0, 1, 0],
        "": None,
        "Z": True,
        "é": 'ä\u007f\n\u2028\U0001f600"\\/',
    },
    [1e-5, 1.5e-7, 0.0001, 0.00012345, 1e15, 1e16, 1.5e16, 1e22, 123456789012345680.0, 1e300],
    [2**53, 2**63 - 1, -(2**53) - 1, -7, 0.1, 1 / 3, 5e-324, -2.5],
    [0.010530641966443738, -0.025546921734031128, 100.0, 1e2, 12345.0],
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_browser_writes_facts_as_the_log_does(window: Window, value: Any) -> None:
    window.open()
    loaded = LOADED.format("parts/canonical.js")
    script = f"(text) => {loaded}.then((m) => m.canonical(m.parseExact(text)))"
    written = window.page.evaluate(script, json.dumps(value))
    assert written.encode() == canonical_json(value)


CONSISTENT = f"""async (trees) => {{
  const {{ consistent }} = await {LOADED.format("pages/audit/proofs.js")};
  const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const told = [];
  for (const {{ old, now, hashes }} of trees)
    told.push(await consistent(
      {{ size: old.size, root: bytes(old.root) }}, {{ size: now.size, root: bytes(now.root) }},
      hashes.map(bytes),
    ).then(() => true, () => false));
  return told;
}}"""


def tree(size: int) -> tuple[str, Any]:
    leaves = [merkle.leaf_hash(str(one).encode()) for one in range(size)]

    def read(nodes: Any) -> Any:
        return [subtree(leaves, node) for node in nodes]

    return merkle.root(size, read).hex(), read


def subtree(leaves: list[bytes], node: Any) -> bytes:
    level, index = node
    hashes = leaves[index << level : (index + 1) << level]
    while len(hashes) > 1:
        hashes = [
            merkle.node_hash(left, right)
            for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


def test_the_browser_accepts_every_true_proof_of_consistency_and_no_changed_one(
    window: Window,
) -> None:
    window.open()
    true, false = [], []
    roots = {size: tree(size) for size in range(1, 20)}
    for new, (new_root, read) in roots.items():
        for old in range(1, new):
            hashes = [one.hex() for one in merkle.consistency_proof(old, new, read)]
            proof = {
                "old": {"size": old, "root": roots[old][0]},
                "now": {"size": new, "root": new_root},
                "hashes": hashes,
            }
            true.append(proof)
            wrong = sha256(b"another").hexdigest()
            false.append({**proof, "old": {"size": old, "root": wrong}})
            false.append({**proof, "now": {"size": new, "root": wrong}})
            false.append({**proof, "hashes": [*hashes, wrong]})
            false.append({**proof, "hashes": hashes[:-1]})
            false += [
                {**proof, "hashes": [*hashes[:at], wrong, *hashes[at + 1 :]]}
                for at in range(len(hashes))
            ]
    assert all(window.page.evaluate(CONSISTENT, true))
    assert not any(window.page.evaluate(CONSISTENT, false))
