"""Checks a certificate of the unlearning service, with nothing but the bundle and a public key.

    python verify.py bundle.json --key public.pem [--key older.pem] [--request req_...]
                     [--weights model.safetensors] [--json]

This one file can be copied out: it needs Python 3.11, the package `cryptography`, and nothing of
the service. The key must come to you by another way than the bundle, or it proves nothing.

A bundle has one accepted form, byte for byte. Whatever else would say the same is a flaw here: a
verifier that reads generously lets two readers see two things in one document.
"""

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

LARGEST_BUNDLE = 16 * 2**20
LARGEST_KEY_FILE = 65_536
DEEPEST = 64
CLOCKS_DIFFER = timedelta(hours=1)
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:lotus-unlearning:erasure-certificate:v1"
ENTRY_KIND = "certificates:certificate:written"
UNLEARNED = ("unlearned", "unlearned_not_testable", "unlearned_accepted")


class Flaw(Exception):
    """Why the bundle is not accepted. `check` is a stable word for where it failed."""

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(reason)
        self.check = check
        self.reason = reason


@dataclass(frozen=True)
class Verified:
    """What an accepted certificate says, in short. `payload` is the whole statement."""

    request: str
    certificate: str
    controller: str
    outcome: str
    replaces: str | None
    written_at: str
    log: str
    log_index: int
    log_size: int
    key_id: str
    subjects: tuple[tuple[str, str], ...]
    claims: tuple[str, ...]
    limits: tuple[str, ...]
    payload: Mapping[str, Any]


Passed = Callable[[str, str], None]


def verify(
    raw: bytes,
    keys: Iterable[bytes],
    *,
    request: str | None = None,
    weights: str | None = None,
    passed: Passed = lambda check, what: None,
) -> Verified:
    """Raises Flaw at the first thing that is wrong; `passed` hears of every check that held.

    `keys` are public keys of 32 bytes; `request` and `weights` (a SHA-256) what it must be about.
    """
    known = {key_id(key): key for key in keys}
    bundle = _canonical(raw, "bundle", LARGEST_BUNDLE)
    _fits(bundle, _BUNDLE, "bundle", "the bundle")
    passed("bundle", f"one document in canonical form, {len(raw)} bytes")

    payload, signer = _signed_payload(bundle["envelope"], known)
    passed("envelope", f"the statement is signed by key {signer}")

    statement = read_statement(payload, passed)
    predicate = statement["predicate"]

    leaf = _base64(bundle["entry"], "entry")
    entry = _canonical(leaf, "entry", LARGEST_BUNDLE)
    _fits(entry, _ENTRY, "entry", "the log entry")
    _same_certificate(entry["facts"], predicate, payload)
    passed("entry", "the log entry names this statement by its SHA-256, and the same ids")

    index, hashes, note = parse_proof(bundle["proof"])
    passed("proof", f"of entry {index}, with {len(hashes)} hashes, in its one form")
    origin, size, root = _checkpoint(note, known)
    passed("checkpoint", f"the head of log {origin} with {size} entries is signed")
    check_inclusion(hashlib.sha256(b"\x00" + leaf).digest(), index, size, hashes, root)
    passed("inclusion", f"entry {index} stands under that head")

    _asked_for(statement, request, weights, passed)
    return Verified(
        request=predicate["request"],
        certificate=entry["facts"]["certificate"],
        controller=predicate["controller"],
        outcome=predicate["outcome"],
        replaces=entry["facts"]["replaces"],
        written_at=entry["time"],
        log=origin,
        log_index=index,
        log_size=size,
        key_id=signer,
        subjects=tuple((one["name"], one["digest"]["sha256"]) for one in statement["subject"]),
        claims=tuple(predicate["claims"]),
        limits=tuple(predicate["limits"]),
        payload=statement,
    )


def read_statement(payload: bytes, passed: Passed = lambda check, what: None) -> Any:
    """What a signature and a log cannot show: that the statement is one of ours and agrees with
    itself. Raises Flaw."""
    statement = _canonical(payload, "statement", LARGEST_BUNDLE)
    _fits_statement(statement)
    passed("statement", f"every field has its form; outcome {statement['predicate']['outcome']}")
    _consistent(statement)
    passed("facts", "subjects, versions, sets, attempts and times agree with each other")
    return statement


# Encoding: JSON as the service writes it, and base64 in its one form (RFC 4648, section 4).


def _canonical(raw: bytes, check: str, largest: int) -> Any:
    """The value of a JSON text in ASCII with sorted keys and no spaces, and of no other."""
    refused = f"{check}: not JSON in ASCII with finite numbers and whole characters"

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Flaw(check, f"{check}: an object has the same field twice")
        return found

    def not_a_number(_: str) -> NoReturn:
        raise Flaw(check, f"{check}: a figure is not a finite number")

    if len(raw) > largest:
        raise Flaw(check, f"{check}: larger than {largest} bytes")
    try:
        value = json.loads(raw.decode("ascii"), object_pairs_hook=once, parse_constant=not_a_number)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
        written = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise Flaw(check, refused) from None
    layer, depth = [value], 0
    while layer:
        _must((depth := depth + 1) <= DEEPEST, check, "the document", "is nested too deeply")
        layer = [inner for one in layer for inner in _inside(one)]
    if written.encode("ascii") != raw:
        raise Flaw(
            check,
            f"{check}: not in canonical form (sorted keys, no spaces, no line end, "
            "characters beyond ASCII escaped)",
        )
    return value


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _base64(text: str, check: str, length: int | None = None) -> bytes:
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise Flaw(check, f"{check}: not base64") from None
    if base64.b64encode(content).decode("ascii") != text:
        raise Flaw(check, f"{check}: base64 that is not in its one form")
    if length is not None and len(content) != length:
        raise Flaw(check, f"{check}: a hash, key or signature of another length")
    return content


# Form: which fields there are, and what may stand in them. A dict is an object with exactly these
# fields, a list a list of such things, a text one of the forms, and a tuple the same or null.

_FORMS = {
    "certificate": r"crt_[0-9a-f]{32}",
    "controller": r"ctl_[0-9a-f]{32}",
    "dataset": r"dst_[0-9a-f]{32}",
    "model": r"mdl_[0-9a-f]{32}",
    "request": r"req_[0-9a-f]{32}",
    "run": r"run_[0-9a-f]{32}",
    "version": r"ver_[0-9a-f]{32}",
    "sha256": r"[0-9a-f]{64}",
    "code": r"[a-z][a-z0-9_-]{0,63}",
    "name": r"[^\x00-\x1f]{1,200}",
    "sentence": r"[^\x00-\x1f]{1,500}",
    "code version": r"[0-9A-Za-z.+-]{1,64}",
    "device": r"[0-9A-Za-z .,:()/_@+-]{1,100}",
    "time": r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{6}Z",
    "done or planned": r"done|planned",
    "certificate's kind": re.escape(ENTRY_KIND),
    "statement type": re.escape(STATEMENT_TYPE),
    "predicate type": re.escape(PREDICATE_TYPE),
    "text": r"(?s:.*)",
}
_LEAST = {"count": 0, "from one": 1}
# Written before any certificate was signed, a statement may lack these.
_MAY_LACK = {"certificate", "extended_due"}

Shape = Any

_BUNDLE: Shape = {
    "entry": "text",
    "envelope": {
        "payload": "text",
        "payloadType": "text",
        "signatures": [{"keyid": "sha256", "sig": "text"}],
    },
    "proof": "text",
}
_ENTRY: Shape = {
    "facts": {
        "certificate": "certificate",
        "controller": "controller",
        "payload_sha256": "sha256",
        "replaces": ("certificate",),
        "request": "request",
    },
    "kind": "certificate's kind",
    "time": "time",
}
_VERSION: Shape = {"version": "version", "number": "from one", "sha256": "sha256"}
_COMMITMENT: Shape = {"root": "sha256", "salt": "sha256", "count": "count"}
_FIRST_PAGE: Shape = {
    **dict.fromkeys(("n_f", "n_u"), "count"),
    **dict.fromkeys(
        (
            *("provable_margin", "auc_before", "auc_after", "auc_low", "auc_high"),
            *("margin_proved", "band_before", "band_after", "band_upper", "rf_jsd_before"),
            *("rf_jsd_after", "same_model_p", "accuracy_before", "accuracy_after"),
            *("accuracy_change", "accuracy_change_low", "accuracy_change_high"),
        ),
        ("number",),
    ),
}
_ATTEMPT: Shape = {
    "run": "run",
    "follows": ("run",),
    "rung": "count",
    **dict.fromkeys(("step", "state", "method", "mode"), "code"),
    "config": "figures",
    "seed": "count",
    "code_version": "code version",
    "device": ("device",),
    "started": ("time",),
    "finished": ("time",),
    "verdict": ("code",),
    "first_page": (_FIRST_PAGE,),
}
_MODEL: Shape = {
    "model": "model",
    "name": "name",
    "base": _VERSION,
    "published": _VERSION,
    "forget_set": _COMMITMENT,
    "own": {"commitment": _COMMITMENT, "held_out_count": "count", "figures": ("figures",)},
    "attempts": [_ATTEMPT],
    "verdict": "code",
    "verdict_sentence": "sentence",
    "report": "figures",
    "policy": "figures",
    "recipient_count": ("count",),
}
_NOT_UNLEARNED: Shape = {
    "model": "model",
    "name": "name",
    "current": _VERSION,
    "training_count": "count",
    "held_out_count": "count",
}
_AGAIN: Shape = {
    "model": "model",
    "name": "name",
    "current": _VERSION,
    "withdrawn": (_VERSION,),
}
_SEARCHED: Shape = {"dataset": "dataset", "sha256": "sha256", "identity_types": ["code"]}
_CASE: dict[str, Shape] = {
    "certificate": "certificate",
    "controller": "controller",
    "request": "request",
    "times": {
        **dict.fromkeys(("submitted", "received", "due"), "time"),
        **dict.fromkeys(("extended_due", "completed"), ("time",)),
    },
    "regulation": "code",
    "legal_ground": ("code",),
    "reason_code": ("code",),
    "earlier_request": ("request",),
    "replaces": ({"certificate": "certificate", "payload_sha256": "sha256"},),
    "destruction": [
        {
            "what": "code",
            "state": "done or planned",
            "at": "time",
            "sha256": ("sha256",),
            "count": ("count",),
        }
    ],
    "claims": ["sentence"],
    "limits": ["sentence"],
    "outcome": "code",
}
_PREDICATES: Mapping[str, Shape] = {
    **{outcome: {**_CASE, "models": [_MODEL]} for outcome in UNLEARNED},
    "no_match": {
        **_CASE,
        "code_version": "code version",
        "searched": [_SEARCHED],
        "identity_count": "from one",
        "held_out_count": "count",
        "searched_at": "time",
    },
    "refused": {
        **_CASE,
        "code_version": "code version",
        "refused_at": "time",
        "models": [_MODEL],
        "not_unlearned": [_NOT_UNLEARNED],
        "searched": [_SEARCHED],
    },
    "reopened": {
        **_CASE,
        "code_version": "code version",
        "cause": "code",
        "reopened_at": "time",
        "completed_before": "time",
        "outcome_before": "code",
        "models": [_AGAIN],
    },
}


def _must(good: bool, check: str, where: str, what: str) -> None:
    if not good:
        raise Flaw(check, f"{check}: {where} {what}")


def _fits(value: Any, shape: Shape, check: str, where: str) -> None:
    if isinstance(shape, tuple):
        if value is not None:
            _fits(value, shape[0], check, where)
    elif isinstance(shape, dict):
        _must(isinstance(value, dict), check, where, "is not an object")
        _must(value.keys() <= shape.keys(), check, where, "has a field that is not known")
        lacking = sorted(shape.keys() - value.keys() - _MAY_LACK)
        _must(not lacking, check, where, f"lacks {', '.join(lacking)}")
        for name in value:
            _fits(value[name], shape[name], check, f"{where}, {name},")
    elif isinstance(shape, list):
        _must(isinstance(value, list), check, where, "is not a list")
        for number, one in enumerate(value):
            _fits(one, shape[0], check, f"{where} number {number},")
    else:
        _must(_has_form(value, shape), check, where, f"is not a {shape}")


def _has_form(value: Any, form: str) -> bool:
    if form == "figures":  # nested; their names depend on the method and the tests
        return isinstance(value, dict)
    if form == "number":
        return type(value) in (int, float) and abs(value) < 2**63
    if form in _LEAST:
        return type(value) is int and _LEAST[form] <= value < 2**63
    if not isinstance(value, str) or re.fullmatch(_FORMS[form], value) is None:
        return False
    if form == "time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
    return True


def _fits_statement(statement: Any) -> None:
    found = statement.get("predicate") if isinstance(statement, dict) else None
    outcome = found.get("outcome") if isinstance(found, dict) else None
    known = isinstance(outcome, str) and outcome in _PREDICATES
    _must(known, "statement", "the predicate", "has no outcome that is known")
    shape = {
        "_type": "statement type",
        "subject": [{"name": "name", "digest": {"sha256": "sha256"}}],
        "predicateType": "predicate type",
        "predicate": _PREDICATES[str(outcome)],
    }
    _fits(statement, shape, "statement", "the statement")
    for name in ("claims", "limits"):
        _must(bool(statement["predicate"][name]), "statement", f"the list of {name}", "is empty")


# The envelope: DSSE v1 with one signature.


def key_id(public: bytes) -> str:
    """SHA-256 of the key's DER SubjectPublicKeyInfo, in hexadecimal."""
    key = Ed25519PublicKey.from_public_bytes(public)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What a DSSE signature is made over."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signed_payload(envelope: Any, known: Mapping[str, bytes]) -> tuple[bytes, str]:
    check = "envelope"
    _must(envelope["payloadType"] == PAYLOAD_TYPE, check, "the payload", "is of another type")
    _must(len(envelope["signatures"]) == 1, check, "the envelope", "does not have one signature")
    payload = _base64(envelope["payload"], check)
    signature = envelope["signatures"][0]
    _must(signature["keyid"] in known, check, "the statement", "is signed by a key not given here")
    _check_signature(
        known[signature["keyid"]],
        _base64(signature["sig"], check, 64),
        pre_authentication_encoding(payload),
        check,
    )
    return payload, signature["keyid"]


def _check_signature(public: bytes, signature: bytes, message: bytes, check: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise Flaw(check, f"{check}: the signature is not of this content") from None


# The facts: what the statement says in two places must be the same.


def _consistent(statement: Any) -> None:
    predicate = statement["predicate"]
    outcome, times = predicate["outcome"], predicate["times"]
    named = [(one["name"], one["digest"]["sha256"]) for one in statement["subject"]]
    _agree(bool(named), "it is about nothing")
    _agree(named == _subjects(predicate), "the subjects are not what the predicate is about")
    _agree(_in_order(times["submitted"], times["received"]), "received before it was submitted")
    ended = outcome in (*UNLEARNED, "no_match")
    _agree((times["completed"] is not None) == ended, "the time of completion does not fit")
    if ended:
        good = _in_order(times["received"], times["completed"])
        _agree(good, "completed before it was received")
    if outcome in UNLEARNED or outcome == "refused":
        for model in predicate["models"]:
            _consistent_model(model)
    if outcome in ("no_match", "refused"):
        _agree(predicate["reason_code"] is not None, "it does not say why it ended so")
    if outcome == "reopened":
        _agree(predicate["replaces"] is not None, "reopened, and no certificate is replaced")
        good = _in_order(predicate["completed_before"], predicate["reopened_at"])
        _agree(good, "reopened before it was completed")


def _consistent_model(model: Any) -> None:
    whole, own, attempts = model["forget_set"], model["own"]["commitment"], model["attempts"]
    _agree(own["count"] <= whole["count"], "this request's part is larger than the forget set")
    _agree(own["salt"] == whole["salt"], "this request's part is no part of the forget set")
    _agree(
        own["count"] != whole["count"] or own["root"] == whole["root"],
        "this request's part is the whole forget set and has another root",
    )
    before = [None, *(one["run"] for one in attempts[:-1])]
    _agree([one["follows"] for one in attempts] == before, "the attempts do not follow each other")
    succeeded = [one["state"] == "succeeded" for one in attempts]
    wanted = [False] * (len(attempts) - 1) + [True]
    _agree(succeeded == wanted, "another attempt than the last succeeded, or not the last")
    _agree(attempts[-1]["verdict"] == model["verdict"], "the verdict is not the last attempt's")
    _agree("persons" not in model["report"], "the report holds the figures of other persons")


def _subjects(predicate: Any) -> list[tuple[str, str]]:
    models = predicate.get("models", [])
    if predicate["outcome"] == "reopened":
        return [(one["name"], one["current"]["sha256"]) for one in models]
    found = [(one["name"], one["published"]["sha256"]) for one in models]
    found += [(one["name"], one["current"]["sha256"]) for one in predicate.get("not_unlearned", [])]
    return found or [(one["dataset"], one["sha256"]) for one in predicate["searched"]]


def _in_order(earlier: str, later: str) -> bool:
    """Times of two machines, whose clocks may differ."""
    return datetime.fromisoformat(earlier) - datetime.fromisoformat(later) <= CLOCKS_DIFFER


def _agree(good: bool, otherwise: str) -> None:
    if not good:
        raise Flaw("facts", f"facts: {otherwise}")


def _same_certificate(facts: Any, predicate: Any, payload: bytes) -> None:
    replaced = predicate["replaces"]
    for good, what in (
        (facts["payload_sha256"] == hashlib.sha256(payload).hexdigest(), "another statement"),
        (facts["request"] == predicate["request"], "another request"),
        (facts["controller"] == predicate["controller"], "another controller"),
        (facts["certificate"] == predicate.get("certificate", facts["certificate"]), "another id"),
        (facts["replaces"] == (replaced and replaced["certificate"]), "another predecessor"),
        (facts["replaces"] != facts["certificate"], "itself as its predecessor"),
    ):
        _must(good, "entry", "the log entry", f"names {what}")


# The log: C2SP tlog-proof over an RFC 6962 tree, and a checkpoint that is a signed note.


def parse_proof(text: str) -> tuple[int, list[bytes], str]:
    """Index, hashes (nearest sibling first) and the checkpoint, still unread. Raises Flaw."""
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    good = bool(blank) and first == "c2sp.org/tlog-proof@v1" and bool(lines)
    _must(good and lines[0].startswith("index "), "proof", "the proof", "does not have its form")
    index = _decimal(lines[0].removeprefix("index "), "proof")
    return index, [_base64(line, "proof", 32) for line in lines[1:]], note


def _checkpoint(note: str, known: Mapping[str, bytes]) -> tuple[str, int, bytes]:
    """Origin, size and root of a tree head that one of the keys has signed."""
    check, lines = "checkpoint", note.split("\n")
    _must(len(lines) == 6, check, "the checkpoint", "does not have one signature")
    origin, size, root, blank, signature, end = lines
    named = re.fullmatch(r"[!-*,-~]{1,200}", origin) is not None
    prefix = f"\N{EM DASH} {origin} "
    good = named and blank == end == "" and signature.startswith(prefix)
    _must(good, check, "the checkpoint", "does not have its form")
    signed = _base64(signature.removeprefix(prefix), check, 68)
    body = f"{origin}\n{size}\n{root}\n".encode("ascii", "replace")
    head = (origin, _decimal(size, check), _base64(root, check, 32))
    for public in known.values():
        named_key = origin.encode("ascii") + b"\n\x01" + public
        if hashlib.sha256(named_key).digest()[:4] == signed[:4]:
            _check_signature(public, signed[4:], body, check)
            return head
    raise Flaw(check, "checkpoint: signed by a key not given here")


def _decimal(text: str, check: str) -> int:
    good = re.fullmatch(r"0|[1-9][0-9]{0,18}", text) is not None and int(text) < 2**63
    _must(good, check, "a size or an index", "is not a number")
    return int(text)


def check_inclusion(
    leaf_hash: bytes, index: int, size: int, hashes: Sequence[bytes], root: bytes
) -> None:
    """RFC 9162, 2.1.3.2. Raises Flaw."""
    _must(0 <= index < size, "inclusion", "the entry", "comes after the checkpoint")
    place, last, found = index, size - 1, leaf_hash
    for sibling in hashes:
        _must(last > 0, "inclusion", "the proof", "is too long")
        if place & 1 or place == last:
            found = hashlib.sha256(b"\x01" + sibling + found).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + sibling).digest()
        place, last = place >> 1, last >> 1
    good = last == 0 and found == root
    _must(good, "inclusion", "the entry", "does not stand under the signed head")


def _asked_for(statement: Any, request: str | None, weights: str | None, passed: Passed) -> None:
    if request is not None:
        good = statement["predicate"]["request"] == request
        _must(good, "asked", "the certificate", "is about another request than the one asked for")
        passed("asked", "it is about the request asked for")
    if weights is not None:
        named = [one["digest"]["sha256"] for one in statement["subject"]]
        _must(weights in named, "asked", "the certificate", "is not about this file of weights")
        passed("asked", f"it is about the file with SHA-256 {weights}")


# At the prompt.


def read_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM."""
    try:
        with path.open("rb") as file:
            key = load_pem_public_key(file.read(LARGEST_KEY_FILE))
    except OSError as error:
        raise Flaw("key", f"key: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Flaw("key", "key: not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Flaw("key", "key: not an Ed25519 key")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_BUNDLE + 1)
    except OSError as error:
        raise Flaw("bundle", f"bundle: cannot be read: {error.strerror}") from None


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Flaw("asked", f"weights: cannot be read: {error.strerror}") from None


def run(
    bundle: Path, keys: Sequence[Path], request: str | None, weights: Path | None, as_json: bool
) -> int:
    """Checks files and prints; 0 only if everything held."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that knows ASCII only
        sys.stdout.reconfigure(errors="backslashreplace")
    held: list[tuple[str, str]] = []
    try:
        found = verify(
            _read(bundle),
            [read_key(key) for key in keys],
            request=request,
            weights=_digest(weights) if weights else None,
            passed=lambda check, what: held.append((check, what)),
        )
    except Flaw as flaw:
        _print_flaw(held, flaw, as_json)
        return 1
    if as_json:
        print(json.dumps({"ok": True, "checks": held, **vars(found)}, indent=2))
    else:
        _print_checks(held)
        _print_found(found)
    return 0


def _print_flaw(held: list[tuple[str, str]], flaw: Flaw, as_json: bool) -> None:
    if as_json:
        said = {"ok": False, "checks": held, "failed": flaw.check, "reason": flaw.reason}
        print(json.dumps(said, indent=2))
        return
    _print_checks(held)
    print(f"FLAW  {_plain(flaw.reason)}")
    print("Not accepted.")


def _print_checks(held: list[tuple[str, str]]) -> None:
    for check, what in held:
        print(f"ok    {check + ':':<12}{_plain(what)}")


def _print_found(found: Verified) -> None:
    predicate = found.payload["predicate"]
    print(f"\nCertificate {found.certificate}, written {found.written_at}")
    ground = f", ground {predicate['legal_ground']}" if predicate["legal_ground"] else ""
    _line("request", f"{found.request}, {predicate['regulation']}{ground}")
    _line("outcome", found.outcome + _reason(predicate))
    if found.replaces:
        _line("replaces", found.replaces)
    if predicate["earlier_request"]:
        _line("earlier", f"request {predicate['earlier_request']}")
    _print_times(predicate)
    for name, sha256 in found.subjects:
        _line("about", f'"{_plain(name)}", SHA-256 {sha256}')
    for model in predicate.get("models", []):
        if "attempts" in model:  # else one that is worked on again
            _print_model(model)
    _print_destruction(predicate["destruction"])
    for title, sentences in (("It states", found.claims), ("Its limits", found.limits)):
        print(f"\n{title}:")
        for sentence in sentences:
            print(f"  - {_plain(sentence)}")
    print(
        "\nThe checks show that the holder of the key signed this statement and entered it in the "
        "log.\nThey do not show that what it says is true, that no newer certificate replaces it, "
        "or that\nthe log shows everybody the same: compare its head with one that others hold. "
        "Names in quotes\nare the controller's own text."
    )


def _line(label: str, what: str) -> None:
    print(f"  {label:<13}{what}")


def _reason(predicate: Any) -> str:
    return f", reason {predicate['reason_code']}" if predicate["reason_code"] else ""


def _print_times(predicate: Any) -> None:
    times, again = predicate["times"], predicate.get("completed_before")
    later = times.get("extended_due")
    _line("submitted", times["submitted"])
    _line("received", times["received"])
    _line("due", times["due"] + (f", extended to {later}" if later else ""))
    for label, name in (("searched", "searched_at"), ("refused", "refused_at")):
        if name in predicate:
            _line(label, predicate[name])
    if again:
        no_longer = f"no longer since {predicate['reopened_at']}, cause {predicate['cause']}"
        _line("completed", f"{again} as {predicate['outcome_before']}; {no_longer}")
    else:
        _line("completed", times["completed"] or "not completed")


def _print_model(model: Any) -> None:
    last, number = model["attempts"][-1], len(model["attempts"])
    moved = f"version {model['base']['number']} to {model['published']['number']}"
    how = f"method {last['method']}, mode {last['mode']}, attempt {number} of {number}"
    _line("model", f'"{_plain(model["name"])}", {moved}, {last["run"]}, {how}')
    _line("verdict", f"{model['verdict']}, on the whole run")
    for figures in _figures_of(last["first_page"], _compared(model["report"])):
        _line("measured", figures)
    for figures in _beside_the_page(model["report"]):
        _line("measured", figures)
    _line("own part", _own_part(model["own"], model["forget_set"]["count"]))
    pulled = model["recipient_count"]
    known = "not known: not every pull was recorded" if pulled is None else str(pulled)
    _line("recipients", f"{known} (had pulled weights that were trained on the person's samples)")


def _compared(report: Any) -> str:
    """How many unseen samples the accuracies were compared on, where the report says so."""
    number = _reported(report, "utility", "n")
    return f" ({number} samples)" if _has_form(number, "count") else ""


def _beside_the_page(report: Any) -> Iterable[str]:
    """What the first page leaves out and may say otherwise: attacks that no run is steered by, and
    the accuracy on the samples themselves. Nothing where the report has no such figure."""
    for title, name, figure in (
        ("learned attack: AUC", "learned_attack", "auc"),
        ("stability attack: advantage", "stability_attack", "advantage"),
    ):
        before, after = (_reported(report, name, when, figure) for when in ("before", "after"))
        if _has_form(after, "number"):
            p_value = _shown(_reported(report, name, "after", "p_value"))
            yield f"{title} {_shown(before)} before, {_shown(after)} after, p {p_value}"
    before, after = (
        _reported(report, "accuracy", "forget", when, "value") for when in ("before", "after")
    )
    if _has_form(after, "number"):
        yield f"accuracy on the forget samples {_shown(before)} before, {_shown(after)} after"


def _reported(report: Any, *names: str) -> Any:
    """A figure of a report, whose form depends on the tests; None where it has none."""
    for name in names:
        report = report.get(name) if isinstance(report, dict) else None
    return report


def _figures_of(page: Any, compared: str) -> Iterable[str]:
    """The five figures of the first page, each with what it may be read against."""
    if page is None:
        yield "no figures"
        return
    yield (
        f"{page['n_f']} forget and {page['n_u']} unseen samples; so many can show deviations of "
        f"the attack AUC from 0.5 above {_shown(page['provable_margin'])}"
    )
    yield (
        f"attack AUC {_before_after(page, 'auc')}, 90 % interval {_shown(page['auc_low'])} to "
        f"{_shown(page['auc_high'])} (0.5: like unseen)"
    )
    yield (
        f"band advantage {_before_after(page, 'band')}, one-sided 95 % upper bound "
        f"{_shown(page['band_upper'])} (0: like unseen)"
    )
    yield (
        f"RF-JSD in nats {_before_after(page, 'rf_jsd')}, p {_shown(page['same_model_p'])} "
        "(decides nothing)"
    )
    yield (
        f"accuracy on unseen data{compared} {_before_after(page, 'accuracy')}, change "
        f"{_shown(page['accuracy_change'])}, 95 % interval {_shown(page['accuracy_change_low'])} "
        f"to {_shown(page['accuracy_change_high'])}"
    )


def _own_part(own: Any, whole: int) -> str:
    count, held_out = own["commitment"]["count"], own["held_out_count"]
    said = f"{count} of the run's {whole} samples; {held_out} more held out"
    names = ("mean_before", "mean_after", "range_low", "range_high")
    before, after, low, high = ((own["figures"] or {}).get(name) for name in names)
    if not _has_form(after, "number"):
        return f"{said}; no figures of their own"
    return (
        f"{said}; mean percentile {_shown(before)} before, {_shown(after)} after; of 95 % of "
        f"persons never trained on: {_shown(low)} to {_shown(high)}"
    )


def _before_after(page: Any, name: str) -> str:
    return f"{_shown(page[f'{name}_before'])} before, {_shown(page[f'{name}_after'])} after"


def _shown(value: Any) -> str:
    return f"{value:.3f}" if _has_form(value, "number") else "not computed"


_DESTROYED = {
    "links": "what links the person to samples",
    "data_rows": "the person's data rows",
    "shard": "a file of data that held such rows",
    "weights": "a file of earlier weights",
}


def _print_destruction(stated: Any) -> None:
    if not stated:
        _line("destroyed", "nothing is stated as destroyed, or as planned to be")
    for one in stated:
        label = "destroyed" if one["state"] == "done" else "to destroy"
        count = f", {one['count']}" if one.get("count") is not None else ""
        sha256 = f", SHA-256 {one['sha256']}" if one.get("sha256") else ""
        what = _DESTROYED.get(one["what"], one["what"])
        _line(label, f"{one['at']}: {what}{count}{sha256}")


def _plain(text: str) -> str:
    """Nothing that moves a cursor or turns the direction of a line."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a certificate of the unlearning service.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", type=Path, action="append", required=True, dest="keys")
    parser.add_argument("--request", help="the request that it must be about")
    parser.add_argument("--weights", type=Path, help="a file of weights that it must be about")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args(arguments)
    return run(given.bundle, given.keys, given.request, given.weights, given.as_json)


if __name__ == "__main__":
    sys.exit(main())
