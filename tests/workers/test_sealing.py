"""The sealer of a worker process: opens its key late, and rests when the key is away."""

from datetime import UTC, datetime, timedelta

import pytest

from app.audit import notes
from app.audit.checkpoints import newest
from app.keyring import BadKey
from app.runtime import Runtime
from app.signing import FileSigner, make_key
from tests.audit.logs import write
from workers.local import LocalWorker
from workers.sealing import REST, Sealer

NOW = datetime.now(UTC)


@pytest.fixture
def keyed(runtime: Runtime) -> Runtime:
    path = runtime.settings.data_dir / "key.pem"
    settings = runtime.settings.model_copy(update={"signing_key": str(path)})
    return Runtime(settings, runtime.database, runtime.artifacts, runtime.keyring)


def sizes(runtime: Runtime) -> int | None:
    with runtime.database.read() as session:
        stored = newest(session)
    return stored.tree_size if stored is not None else None


def test_the_worker_of_a_single_machine_seals_as_it_ticks(runtime: Runtime) -> None:
    write(runtime.database, 2)
    LocalWorker(runtime).tick(NOW)
    if not runtime.settings.is_single_machine:
        assert sizes(runtime) is None  # nobody gave it a key
        return
    assert sizes(runtime) == 3
    kept = runtime.settings.key_dir / "signing.pem.checkpoint"
    assert notes.parse(kept.read_text()).checkpoint.size == 3


def test_a_key_that_is_away_is_asked_again_after_a_rest(
    keyed: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Away(FileSigner):
        def sign(self, message: bytes) -> bytes:
            asked.append(message)
            raise ConnectionError

    make_key(keyed.settings.data_dir / "key.pem")
    write(keyed.database)
    sealer = Sealer(keyed)
    with monkeypatch.context() as patch:
        patch.setattr(FileSigner, "sign", Away.sign)
        with pytest.raises(ConnectionError):
            sealer.seal(NOW)
        for seconds in (0, 1, 29):
            sealer.seal(NOW + timedelta(seconds=seconds))
        assert len(asked) == 1 and sizes(keyed) is None
    sealer.seal(NOW + REST)
    assert sizes(keyed) == 2


def test_a_key_whose_file_comes_later_is_found(keyed: Runtime) -> None:
    sealer = Sealer(keyed)
    with pytest.raises(BadKey):
        sealer.seal(NOW)
    make_key(keyed.settings.data_dir / "key.pem")
    sealer.seal(NOW + REST)
    assert sizes(keyed) == 1


def test_a_sealer_that_has_nothing_to_do_asks_again_at_the_next_tick(keyed: Runtime) -> None:
    make_key(keyed.settings.data_dir / "key.pem")
    sealer = Sealer(keyed)
    sealer.seal(NOW)
    assert sizes(keyed) == 1
    write(keyed.database)
    sealer.seal(NOW + timedelta(seconds=1))
    assert sizes(keyed) == 1
    sealer.seal(NOW + timedelta(seconds=61))
    assert sizes(keyed) == 2
