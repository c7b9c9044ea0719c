"""Whether the service has the pseudonym keys that its datasets were registered with.

An HMAC cannot be made again without the raw value: while a dataset is registered under a key,
nobody in it is found without that very key. A search without it would find nothing and call it an
answer.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.http.problems import Problem
from app.keyring import Keyring
from app.observability import fields
from app.registry.tables import Dataset, RegistrationState

log = logging.getLogger("lotus.keys")

# Key id and check of one dataset, as its row holds them; the check is missing in older rows.
Held = tuple[str | None, bytes | None]


class PseudonymKeyMissing(Problem):
    status = 503
    code = "pseudonym-key-missing"
    title = "A key of the service is missing"


@dataclass(frozen=True)
class KeyUse:
    """`missing`: the service lacks the key. `replaced`: it has another one under the same id."""

    datasets: dict[str, int]
    missing: frozenset[str]
    replaced: frozenset[str]

    @property
    def lacking(self) -> frozenset[str]:
        return self.missing | self.replaced


def in_use(session: Session, keyring: Keyring) -> KeyUse:
    """Over all controllers: how many datasets each key is needed for."""
    rows = session.execute(
        select(Dataset.pseudonym_key_id, Dataset.pseudonym_key_check, func.count())
        .where(Dataset.state == RegistrationState.READY, Dataset.pseudonym_key_id.is_not(None))
        .group_by(Dataset.pseudonym_key_id, Dataset.pseudonym_key_check)
    ).all()
    datasets: dict[str, int] = {}
    for key_id, _, count in rows:
        datasets[str(key_id)] = datasets.get(str(key_id), 0) + count
    held = [(key_id, check) for key_id, check, _ in rows]
    return KeyUse(datasets, _missing(keyring, held), _replaced(keyring, held))


def require(keyring: Keyring, held: Iterable[Held]) -> None:
    """Raises PseudonymKeyMissing unless every dataset can be searched."""
    held = set(held)
    lacking = _missing(keyring, held) | _replaced(keyring, held)
    if lacking:
        log.error("pseudonym keys are missing", extra=fields(keys=sorted(lacking)))
        raise PseudonymKeyMissing(
            "A registered dataset is indexed under a pseudonym key that the service does not have, "
            "so nobody could be searched for. Whoever operates it must put the key back; "
            "`lotus doctor` names it. Send the request again afterwards.",
            headers={"Retry-After": "3600"},
        )


def _missing(keyring: Keyring, held: Iterable[Held]) -> frozenset[str]:
    return frozenset(key for key, _ in held if key and key not in keyring.pseudonym)


def _replaced(keyring: Keyring, held: Iterable[Held]) -> frozenset[str]:
    return frozenset(
        key
        for key, check in held
        if key in keyring.pseudonym and check and check != keyring.pseudonym_check(key)
    )
