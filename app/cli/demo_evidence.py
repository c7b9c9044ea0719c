"""The demo's certificate, fetched and then checked as somebody without the service would."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.certificates.verify import Flaw, Verified, read_key, verify
from app.cli.output import Failure
from client import Erasure, LotusClient

BUNDLE, PUBLIC_KEY = "certificate.json", "public.pem"
# A signed head follows on the certificate within seconds.
SIGNING_SECONDS = 30.0


@dataclass(frozen=True)
class Checked:
    checks: tuple[tuple[str, str], ...]
    verified: Verified

    def document(self) -> dict[str, Any]:
        found = self.verified
        return {
            "id": found.certificate,
            "request": found.request,
            "outcome": found.outcome,
            "checks": self.checks,
            "about": [{"name": name, "sha256": sha256} for name, sha256 in found.subjects],
            "log": found.log,
            "log_index": found.log_index,
            "log_size": found.log_size,
            "key_id": found.key_id,
        }


def check(lotus: LotusClient, request: Erasure, weights: str, folder: Path) -> Checked:
    """Leaves bundle and key in `folder`. In earnest the key comes another way than from here."""
    bundle, key = folder / BUNDLE, folder / PUBLIC_KEY
    bundle.write_bytes(lotus.get_certificate(request.id, timeout=SIGNING_SECONDS))
    in_use = [one for one in lotus.signing_keys() if one.until is None]
    if not in_use:
        raise Failure("the service shows no signing key")
    key.write_text(in_use[-1].pem, "ascii")
    held: list[tuple[str, str]] = []
    try:
        found = verify(
            bundle.read_bytes(),
            [read_key(key)],
            request=request.id,
            weights=weights,
            passed=lambda check, what: held.append((check, what)),
        )
    except Flaw as flaw:
        raise Failure(f"the certificate does not hold: {flaw.reason}") from None
    return Checked(tuple(held), found)
