"""Words and pixels that occur nowhere by chance, and where they are looked for."""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from client import LotusClient
from tests.registry.content import png

WHO = "customer-0042"


def forms(value: bytes) -> set[bytes]:
    """What else the value could be written as, by accident or by a library."""
    found = {value, value.hex().encode(), value.hex().upper().encode()}
    digest = hashlib.sha256(value)
    found |= {digest.digest(), digest.hexdigest().encode()}
    for shift in range(3):  # base64 depends on where in its text the value begins
        text = base64.b64encode(b"\0" * shift + value)
        # Characters that also hold bits of a neighbour are left out.
        inner = text[(0, 2, 3)[shift] : len(text) - (len(text) and 4)]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    try:
        text_ = value.decode()
    except UnicodeDecodeError:
        return found
    found |= {text_.encode("utf-16-le"), text_.encode("utf-16-be")}
    found |= {quote(text_, safe="").encode(), json.dumps(text_)[1:-1].encode()}
    return found


@dataclass(frozen=True)
class Canaries:
    """`of[name]` is one of them, in every form."""

    email: str
    customer: str
    external_id: str
    pixels: np.ndarray[Any, Any]
    of: Mapping[str, set[bytes]]

    @classmethod
    def make(cls) -> "Canaries":
        mark = secrets.token_hex(6)
        email, customer = f"jane+{mark}@canary.example", f"canary {mark} customer"
        external_id = f"DSR/{mark}"
        pixels = np.random.default_rng(secrets.randbits(32)).integers(1, 256, (8, 8), np.uint8)
        of = {
            "email": forms(email.encode()),
            "customer": forms(customer.encode()),
            "sample id": forms(f"{mark}-sample".encode()),
            "external id": forms(external_id.encode()),
            "image file": forms(png(pixels)),
            "pixels": forms(pixels.tobytes())
            | {(pixels.astype(np.float32) / 255).tobytes(), pixels.astype(np.float32).tobytes()},
        }
        return cls(email, customer, external_id, pixels, of)

    def put_into(self, digits: Path, folder: Path) -> Path:
        """The example, with its person, that person's sample ids and one image made unmistakable,
        and with the person's address in a column of its own."""
        folder.mkdir()
        for file in digits.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        table = pq.read_table(folder / "manifest.parquet")
        owners = table["customer_id"].to_pylist()
        images = table["image"].to_pylist()
        images[owners.index(WHO)] = png(self.pixels)
        mark = self.external_id.removeprefix("DSR/")
        changed = {
            "customer_id": [self.customer if who == WHO else who for who in owners],
            "sample_id": [
                f"{mark}-sample-{row}" if who == WHO else f"row-{row}"
                for row, who in enumerate(owners)
            ],
            "image": images,
            "email": [[self.email] if who == WHO else [] for who in owners],
        }
        columns = {name: table[name].to_pylist() for name in table.column_names} | changed
        schema = pa.schema(
            [
                *(field for field in table.schema if field.name != "email"),
                pa.field("email", pa.list_(pa.string())),
            ]
        )
        # Not compressed: the upload itself is a place where all of them must be found.
        file = folder / "manifest.parquet"
        pq.write_table(pa.table(columns, schema=schema), file, compression="none")
        about = json.loads((folder / "dataset.json").read_text())
        about["subject_columns"].append({"column": "email", "type": "email"})
        (folder / "dataset.json").write_text(json.dumps(about))
        return folder

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
        """(canary, place) of every hit."""
        return {
            (name, place)
            for place, content in places
            for name, written in self.of.items()
            if any(form in content for form in written)
        }


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file with its content; its name counts as content too. Places are named by folder."""
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.is_file():
                try:
                    content = path.read_bytes()
                except FileNotFoundError:  # gone since it was listed
                    continue
                yield _place(folder, path), str(path).encode() + b"\n" + content


def _place(folder: Path, path: Path) -> str:
    inner = path.relative_to(folder).parts
    return inner[0] if len(inner) > 1 else path.name


def answers(client: LotusClient) -> Iterator[tuple[str, bytes]]:
    """What every call answers that only reads, of each thing that a list names."""
    described = client.http.get("/openapi.json").json()
    reads = sorted(path for path, calls in described["paths"].items() if "get" in calls)
    assert len(reads) > 10
    ids: dict[str, set[str]] = {}
    for path in (one for one in reads if "{" not in one):
        answer = client.http.get(path)
        yield path, answer.content + str(answer.headers).encode()
        if answer.headers["content-type"] == "application/json":
            for one in answer.json().get("items", []):
                ids.setdefault(path, set()).add(str(one.get("id", one.get("request"))))
    for path in (one for one in reads if "{" in one):
        before, _, after = path.partition("/{")
        for identity in ids.get(before, ()):
            _, _, rest = after.partition("}")
            full = f"{before}/{identity}{rest}".replace("{number}", "1")
            if path.endswith("/events"):
                yield path, _first_event(client, full)
                continue
            answer = client.http.get(full)
            yield path, answer.content + str(answer.headers).encode()


def _first_event(client: LotusClient, path: str) -> bytes:
    """A stream tells the present state first, and goes on for as long as anybody listens."""
    with client.http.stream("GET", path) as answer:
        content = str(answer.headers).encode()
        for piece in answer.iter_raw():
            content += piece
            if b"data:" in content and content.endswith(b"\n\n"):
                break
        return content
