"""One flaw after the other, each in a bundle that is right otherwise."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.audit import notes
from app.canonical import canonical_json
from app.certificates import dsse
from app.certificates.statement import AnyCase
from tests.certificates.facts import at, uuid
from tests.certificates.sealed import (
    OURS,
    THEIRS,
    Log,
    leaf_of,
    log_around,
    payload_of,
    sealed,
)


@dataclass(frozen=True)
class Material:
    cases: Mapping[str, AnyCase]
    log: Log
    places: Mapping[str, int]
    good: Mapping[str, bytes]

    def bundle(self, name: str = "no-match") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.good[name])
        return document

    def payload(self, name: str = "no-match") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(payload_of(self.cases[name]))
        return document

    def signed(self, payload: bytes, name: str = "no-match", **changes: Any) -> bytes:
        """The service itself would have to be at fault: signed by its key and in its log."""
        return sealed(payload, self.cases[name], **changes)


Make = Callable[[Material], bytes]


@dataclass(frozen=True)
class Flaw:
    name: str
    says: str
    check: str
    make: Make


FLAWS: list[Flaw] = []


def flaw(check: str, says: str) -> Callable[[Make], Make]:
    def note(make: Make) -> Make:
        FLAWS.append(Flaw(make.__name__.replace("_", "-"), says, check, make))
        return make

    return note


# The encoding of the bundle.


@flaw("bundle", "nothing at all")
def empty(of: Material) -> bytes:
    return b""


@flaw("bundle", "the last bytes are missing")
def truncated(of: Material) -> bytes:
    return of.good["no-match"][:-100]


@flaw("bundle", "a line end after the last brace")
def line_end(of: Material) -> bytes:
    return of.good["no-match"] + b"\n"


@flaw("bundle", "a byte order mark before the first brace")
def byte_order_mark(of: Material) -> bytes:
    return b"\xef\xbb\xbf" + of.good["no-match"]


@flaw("bundle", "spaces after colons and commas")
def spaces(of: Material) -> bytes:
    return json.dumps(of.bundle(), sort_keys=True).encode()


@flaw("bundle", "fields in another order")
def key_order(of: Material) -> bytes:
    document = of.bundle()
    turned = {name: document[name] for name in sorted(document, reverse=True)}
    return json.dumps(turned, separators=(",", ":")).encode()


@flaw("bundle", "a character written as itself instead of escaped")
def not_ascii(of: Material) -> bytes:
    return of.good["no-match"].replace(b"\\u2014", "\N{EM DASH}".encode())


@flaw("bundle", "a character escaped that needs no escape")
def other_escape(of: Material) -> bytes:
    return of.good["no-match"].replace(b'"entry"', b'"\\u0065ntry"')


@flaw("bundle", "the field `proof` twice, with the same content")
def duplicate_field(of: Material) -> bytes:
    proof = json.dumps(of.bundle()["proof"]).encode()
    return of.good["no-match"][:-1] + b',"proof":' + proof + b"}"


@flaw("bundle", "a field that is not known beside the three")
def unknown_field(of: Material) -> bytes:
    return canonical_json({**of.bundle(), "note": "checked"})


@flaw("bundle", "a field that is not known in the envelope")
def unknown_envelope_field(of: Material) -> bytes:
    document = of.bundle()
    document["envelope"]["payloadSha256"] = "0" * 64
    return canonical_json(document)


@flaw("bundle", "no proof")
def without_proof(of: Material) -> bytes:
    document = of.bundle()
    del document["proof"]
    return canonical_json(document)


@flaw("bundle", "ten thousand brackets")
def nested(of: Material) -> bytes:
    return b"[" * 10_000 + b"]" * 10_000


# The envelope.


def _envelope(of: Material, **changes: Any) -> bytes:
    document = of.bundle()
    document["envelope"] |= changes
    return canonical_json(document)


def _signature(of: Material, **changes: Any) -> bytes:
    (signature,) = of.bundle()["envelope"]["signatures"]
    return _envelope(of, signatures=[signature | changes])


def _sig(of: Material) -> str:
    text: str = of.bundle()["envelope"]["signatures"][0]["sig"]
    return text


@flaw("envelope", "signed by another key, which the envelope names")
def other_key(of: Material) -> bytes:
    return of.signed(payload_of(of.cases["no-match"]), signer=THEIRS)


@flaw("envelope", "signed by another key under this key's name")
def other_key_in_disguise(of: Material) -> bytes:
    payload = payload_of(of.cases["no-match"])
    signature = THEIRS.sign(dsse.pre_authentication_encoding(dsse.PAYLOAD_TYPE, payload))
    return _signature(of, sig=base64.b64encode(signature).decode())


@flaw("envelope", "the signature is right, the key id another key's")
def wrong_key_id(of: Material) -> bytes:
    return _signature(of, keyid="0" * 64)


@flaw("envelope", "the payload signed without DSSE's encoding around it")
def bare_signature(of: Material) -> bytes:
    signature = OURS.sign(payload_of(of.cases["no-match"]))
    return _signature(of, sig=base64.b64encode(signature).decode())


@flaw("envelope", "the same signature twice")
def two_signatures(of: Material) -> bytes:
    (signature,) = of.bundle()["envelope"]["signatures"]
    return _envelope(of, signatures=[signature, signature])


@flaw("envelope", "no signature")
def no_signature(of: Material) -> bytes:
    return _envelope(of, signatures=[])


@flaw("envelope", "another payload type")
def other_payload_type(of: Material) -> bytes:
    return _envelope(of, payloadType="application/json")


@flaw("envelope", "base64 in its alphabet for addresses")
def url_safe_base64(of: Material) -> bytes:
    content = base64.b64decode(_sig(of))
    return _signature(of, sig=base64.urlsafe_b64encode(content).decode())


@flaw("envelope", "base64 without its padding")
def missing_padding(of: Material) -> bytes:
    return _signature(of, sig=_sig(of).rstrip("="))


@flaw("envelope", "base64 whose last character holds bits that say nothing")
def loose_base64(of: Material) -> bytes:
    text = _sig(of)
    assert text.endswith("A==") or text[-3] in "QgwA"
    return _signature(of, sig=text[:-3] + chr(ord(text[-3]) + 1) + "==")


@flaw("envelope", "one figure changed in the signed statement")
def flipped_figure(of: Material) -> bytes:
    document = of.bundle("unlearned")
    payload = payload_of(of.cases["unlearned"])
    changed = payload.replace(b'"auc_after":0.512', b'"auc_after":0.502')
    assert changed != payload
    document["envelope"]["payload"] = base64.b64encode(changed).decode()
    return canonical_json(document)


@flaw("envelope", "the limits removed from the signed statement")
def stripped_limits(of: Material) -> bytes:
    payload = of.payload()
    payload["predicate"]["limits"] = []
    return _envelope(of, payload=base64.b64encode(canonical_json(payload)).decode())


# The statement: each of these is signed and stands in the log, so only its reader notices.


def _stating(of: Material, name: str = "no-match", **changes: Any) -> bytes:
    payload = of.payload(name)
    payload["predicate"] |= changes
    return of.signed(canonical_json(payload), name)


@flaw("statement", "signed and logged, and written with spaces")
def statement_with_spaces(of: Material) -> bytes:
    return of.signed(json.dumps(of.payload(), sort_keys=True).encode())


@flaw("statement", "signed and logged, with the same field twice")
def statement_with_duplicate(of: Material) -> bytes:
    payload = payload_of(of.cases["no-match"])
    once = b'"held_out_count":0'
    return of.signed(payload.replace(once, once + b"," + once))


@flaw("statement", "signed and logged, with a figure that is not a number")
def statement_with_nan(of: Material) -> bytes:
    payload = payload_of(of.cases["unlearned"])
    return of.signed(payload.replace(b'"auc_after":0.512', b'"auc_after":NaN'), "unlearned")


@flaw("statement", "signed and logged, with a number beyond every range")
def statement_with_overflow(of: Material) -> bytes:
    payload = payload_of(of.cases["unlearned"])
    return of.signed(payload.replace(b'"auc_after":0.512', b'"auc_after":1e400'), "unlearned")


@flaw("statement", "signed and logged, with a number written another way")
def statement_with_other_number(of: Material) -> bytes:
    payload = payload_of(of.cases["unlearned"])
    return of.signed(payload.replace(b'"auc_after":0.512', b'"auc_after":0.5120'), "unlearned")


@flaw("statement", "signed and logged, with half of a surrogate pair in a name")
def statement_with_half_a_character(of: Material) -> bytes:
    payload = payload_of(of.cases["unlearned"])
    return of.signed(payload.replace(b'"digits"', b'"digits\\ud800"'), "unlearned")


@flaw("statement", "signed and logged, with a field of the predicate that is not known")
def unknown_predicate_field(of: Material) -> bytes:
    return _stating(of, compliant=True)


@flaw("statement", "signed and logged, with a field of the statement that is not known")
def unknown_statement_field(of: Material) -> bytes:
    return of.signed(canonical_json({**of.payload(), "note": "checked"}))


@flaw("statement", "signed and logged, without any limits")
def statement_without_limits(of: Material) -> bytes:
    return _stating(of, limits=[])


@flaw("statement", "signed and logged, with an outcome that is not known")
def unknown_outcome(of: Material) -> bytes:
    return _stating(of, outcome="erased")


@flaw("statement", "signed and logged, of another type")
def other_predicate_type(of: Material) -> bytes:
    payload = of.payload() | {"predicateType": "urn:lotus-unlearning:erasure-certificate:v2"}
    return of.signed(canonical_json(payload))


# The facts: what stands in two places is not the same.


@flaw("facts", "signed and logged, about other weights than the predicate's")
def other_subject(of: Material) -> bytes:
    payload = of.payload("unlearned")
    payload["subject"][0]["digest"]["sha256"] = "f" * 64
    return of.signed(canonical_json(payload), "unlearned")


@flaw("facts", "signed and logged, with an own part larger than the forget set")
def part_larger_than_the_set(of: Material) -> bytes:
    models = of.payload("unlearned")["predicate"]["models"]
    models[0]["own"]["commitment"]["count"] = 101
    return _stating(of, "unlearned", models=models)


@flaw("facts", "signed and logged, with an attempt left out")
def attempt_left_out(of: Material) -> bytes:
    models = of.payload("unlearned")["predicate"]["models"]
    del models[0]["attempts"][0]
    return _stating(of, "unlearned", models=models)


@flaw("facts", "signed and logged, with another verdict than its last attempt's")
def other_verdict(of: Material) -> bytes:
    models = of.payload("unlearned")["predicate"]["models"]
    models[0]["verdict"] = "reduced"
    return _stating(of, "unlearned", models=models)


@flaw("facts", "signed and logged, completed before it was received")
def completed_too_early(of: Material) -> bytes:
    times = of.payload()["predicate"]["times"]
    return _stating(of, times=times | {"completed": "2026-02-28T12:00:00.000000Z"})


@flaw("facts", "signed and logged, refused without a reason")
def refused_without_reason(of: Material) -> bytes:
    return _stating(of, "refused", reason_code=None)


@flaw("facts", "signed and logged, reopened without an earlier certificate")
def reopened_from_nothing(of: Material) -> bytes:
    return _stating(of, "reopened", replaces=None)


# The entry of the log.


@flaw("entry", "entry and proof of another certificate of the same log")
def other_entry(of: Material) -> bytes:
    return canonical_json({**of.bundle("refused"), "envelope": of.bundle()["envelope"]})


@flaw("entry", "another statement of the same key")
def other_statement(of: Material) -> bytes:
    return canonical_json({**of.bundle(), "envelope": of.bundle("refused")["envelope"]})


@flaw("entry", "one figure changed, and signed again, but not what was entered in the log")
def signed_again(of: Material) -> bytes:
    payload = payload_of(of.cases["unlearned"])
    changed = payload.replace(b'"auc_after":0.512', b'"auc_after":0.502')
    envelope = json.loads(dsse.envelope(changed, OURS))
    return canonical_json({**of.bundle("unlearned"), "envelope": envelope})


def _entered(of: Material, **changes: Any) -> bytes:
    return of.signed(payload_of(of.cases["reopened"]), "reopened", **changes)


@flaw("entry", "the entry names another request")
def entry_of_other_request(of: Material) -> bytes:
    return _entered(of, request=uuid(999))


@flaw("entry", "the entry names another certificate")
def entry_of_other_certificate(of: Material) -> bytes:
    return _entered(of, certificate=uuid(999))


@flaw("entry", "the entry names another controller")
def entry_of_other_controller(of: Material) -> bytes:
    return _entered(of, controller=uuid(999))


@flaw("entry", "the entry names another predecessor")
def entry_of_other_predecessor(of: Material) -> bytes:
    return _entered(of, replaces=uuid(999))


def _with_leaf(of: Material, leaf: bytes) -> bytes:
    return canonical_json(
        {
            **of.bundle(),
            "entry": base64.b64encode(leaf).decode(),
            "proof": log_around(leaf).proof(5),
        }
    )


def _leaf(of: Material) -> bytes:
    case = of.cases["no-match"]
    return leaf_of(payload_of(case), case, now=at(6))


@flaw("entry", "an entry of another kind with the same facts")
def entry_of_other_kind(of: Material) -> bytes:
    return _with_leaf(of, _leaf(of).replace(b"certificate:written", b"certificate:drafted"))


@flaw("entry", "an entry that is not in canonical form")
def entry_with_spaces(of: Material) -> bytes:
    return _with_leaf(of, json.dumps(json.loads(_leaf(of))).encode())


@flaw("entry", "a line break in the entry's base64")
def entry_with_line_break(of: Material) -> bytes:
    entry = of.bundle()["entry"]
    return canonical_json({**of.bundle(), "entry": entry[:76] + "\n" + entry[76:]})


# The proof and the checkpoint.


def _proving(of: Material, change: Callable[[str], str]) -> bytes:
    before = of.bundle()["proof"]
    after = change(before)
    assert after != before
    return canonical_json({**of.bundle(), "proof": after})


def _noted(of: Material, note: str) -> bytes:
    index = of.places["no-match"]
    proof = notes.proof_text(index, of.log.path(index), note)
    return canonical_json({**of.bundle(), "proof": proof})


@flaw("proof", "the first line names another version")
def other_proof_version(of: Material) -> bytes:
    return _proving(of, lambda text: text.replace("tlog-proof@v1", "tlog-proof@v2"))


@flaw("proof", "a zero before the index")
def index_with_zero(of: Material) -> bytes:
    return _proving(of, lambda text: text.replace("index ", "index 0"))


@flaw("proof", "a line of data that nobody asked for")
def extra_data(of: Material) -> bytes:
    return _proving(of, lambda text: text.replace("index ", "extra AAAA\nindex "))


@flaw("inclusion", "the index is one too high")
def index_off_by_one(of: Material) -> bytes:
    index = of.places["no-match"]
    return _proving(of, lambda text: text.replace(f"index {index}", f"index {index + 1}"))


@flaw("inclusion", "a hash of the proof is another one")
def wrong_hash(of: Material) -> bytes:
    index = of.places["no-match"]
    hashes = [bytes(32), *of.log.path(index)[1:]]
    return _proving(of, lambda _: notes.proof_text(index, hashes, of.log.note()))


@flaw("inclusion", "a hash of the proof is missing")
def proof_too_short(of: Material) -> bytes:
    index = of.places["no-match"]
    return _proving(of, lambda _: notes.proof_text(index, of.log.path(index)[1:], of.log.note()))


@flaw("inclusion", "a hash too many")
def proof_too_long(of: Material) -> bytes:
    index = of.places["no-match"]
    hashes = [*of.log.path(index), bytes(32)]
    return _proving(of, lambda _: notes.proof_text(index, hashes, of.log.note()))


@flaw("inclusion", "a checkpoint of another tree, signed by the same key")
def other_tree(of: Material) -> bytes:
    return _noted(of, Log([b"other %d" % n for n in range(len(of.log.leaves))]).note())


@flaw("inclusion", "a checkpoint from before the entry")
def checkpoint_too_early(of: Material) -> bytes:
    return _noted(of, of.log.note(of.places["no-match"]))


@flaw("checkpoint", "a checkpoint by another key")
def checkpoint_by_other_key(of: Material) -> bytes:
    return _noted(of, of.log.note(signer=THEIRS))


@flaw("checkpoint", "the size in the checkpoint changed")
def other_size(of: Material) -> bytes:
    return _noted(of, of.log.note().replace("\n23\n", "\n24\n"))


@flaw("checkpoint", "the name of the log changed")
def other_log(of: Material) -> bytes:
    return _noted(of, of.log.note().replace("lotus.example", "other.example"))


@flaw("checkpoint", "a second signature, of somebody who was not asked")
def second_signature(of: Material) -> bytes:
    return _noted(of, of.log.note() + of.log.note(signer=THEIRS).split("\n\n")[1])


@flaw("checkpoint", "the checkpoint's last line end is missing")
def note_without_end(of: Material) -> bytes:
    return _noted(of, of.log.note().rstrip("\n"))
