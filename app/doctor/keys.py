"""The service's keys: there, distinct, private, and those that the data was indexed with."""

from collections.abc import Iterator, Mapping
from itertools import combinations

from sqlalchemy.orm import Session

from app.config import Settings
from app.doctor.findings import Finding, counted, ok, problem, warning
from app.keyring import BadKey, Keyring, load_keyring
from app.opendsr.key_files import own_path
from app.registry import pseudonym_keys
from app.signing import key_path

FILES = ("pseudonym", "secret", "suppression")


def keyring(settings: Settings) -> tuple[Keyring | None, list[Finding]]:
    """The keys, unless one is missing: reading them would make a new one in its place."""
    missing = [
        name
        for name in FILES
        if not getattr(settings, f"{name}_key") and not (settings.key_dir / f"{name}.key").is_file()
    ]
    if missing:
        return None, [
            problem(
                "keys",
                f"missing: {', '.join(missing)}",
                "Put back the files of LOTUS_DATA_DIR/keys from their copy BEFORE the service "
                "starts: it would make new keys, with which no person is found any more.",
            )
        ]
    try:
        found = load_keyring(settings)
    except (BadKey, OSError, UnicodeDecodeError) as error:
        said = str(error) if isinstance(error, BadKey) else "a key file cannot be read"
        return None, [problem("keys", said, "Set the key right; see docs/settings.md.")]
    return found, [*_alike(found), *_readable_by_others(settings)]


def _alike(ring: Keyring) -> Iterator[Finding]:
    named = {"LOTUS_SECRET_KEY": ring.secret, "LOTUS_SUPPRESSION_KEY": ring.suppression}
    named |= {f"pseudonym key {key_id}": key for key_id, key in ring.pseudonym.items()}
    for (one, first), (other, second) in combinations(named.items(), 2):
        if first == second:
            yield warning(
                "keys",
                f"{one} and {other} are the same",
                "Give each purpose a key of its own, before data is registered: later a changed "
                "suppression key no longer recognises who was suppressed.",
            )
    for name, key in named.items():
        if len(set(key)) < 8:
            yield problem("keys", f"{name} is no random key", "Make it: openssl rand -base64 32.")


def _readable_by_others(settings: Settings) -> Iterator[Finding]:
    paths = [settings.key_dir / f"{name}.key" for name in FILES]
    signing = [path for path in (key_path(settings),) if path is not None]
    signing.append(settings.opendsr_key or own_path(settings))
    paths = [settings.data_dir, settings.key_dir, *paths, *signing, settings.data_dir / "lotus.db"]
    open_to_others = [path for path in paths if path.exists() and path.stat().st_mode & 0o077]
    if open_to_others:
        names = ", ".join(path.name for path in open_to_others)
        yield warning(
            "keys",
            f"others on this machine may open: {names}",
            f"chmod -R go-rwx {settings.data_dir}",
        )


def in_use(session: Session, ring: Keyring) -> Iterator[Finding]:
    """Whether every dataset's pseudonym key is still there, and which keys may go."""
    use = pseudonym_keys.in_use(session, ring)
    for lost, how in ((use.missing, "a missing"), (use.replaced, "another")):
        if lost:
            count = sum(use.datasets[key_id] for key_id in lost)
            yield problem(
                "keys",
                f"{counted(count, 'dataset')} indexed under {how} pseudonym key: "
                f"{', '.join(sorted(lost))}",
                "Put the very key back under its id, at the end of LOTUS_PSEUDONYM_KEY or in "
                "keys/pseudonym.key: without it nobody in those datasets is found. Until then "
                "requests of their controllers are answered with 503.",
            )
    if not use.lacking:
        present = ", ".join(_used(key_id, use.datasets) for key_id in ring.pseudonym)
        yield ok("keys", f"secret, suppression, pseudonym ({present}): all that the data needs")


def _used(key_id: str, datasets: Mapping[str, int]) -> str:
    count = datasets.get(key_id, 0)
    return f"{key_id}: {counted(count, 'dataset') if count else 'no dataset'}"
