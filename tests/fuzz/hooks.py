"""What Schemathesis is told about the service: which ids exist, and what it must leave alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.generation import GenerationMode

from tests.erasure.factories import submission
from tests.fuzz.allowances import is_expected
from tests.fuzz.stock import Stock

_ID = re.compile(r"([a-z]{3})_[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CASE = re.compile(r"case-[0-9]+")


@dataclass
class Seen:
    """Cases by operation, and what was found."""

    cases: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def install(stock: Stock, seen: Seen) -> None:
    @schemathesis.hook
    def map_case(context: HookContext, case: Case) -> Case:
        return _with_what_exists(case, stock)

    @schemathesis.hook
    def after_call(context: HookContext, case: Case, response: Response) -> None:
        seen.cases[case.operation.label] += 1

    @schemathesis.hook
    def filter_failure(
        context: HookContext, failure: Failure, case: Case, response: Response
    ) -> bool:
        if is_expected(failure, case, response):
            return False
        answered = f"{response.status_code} {response.text[:200]}"
        seen.failures[f"{case.operation.label}: {failure.title}: {answered}"] += 1
        return True


def _with_what_exists(case: Case, stock: Stock) -> Case:
    """Random ids name nothing, so most of them give way to ids that exist. Which ones follows from
    the case alone, so that it is the same when it is tried again. The form stays what it was: what
    was no id before is none now."""
    said = json.dumps([case.method, case.path, case.path_parameters, case.query], default=repr)
    choice = int.from_bytes(
        hashlib.sha256(f"{said}{case.body!r}".encode(errors="replace")).digest()
    )

    # A stream of what may still change does not end.
    follows = case.path.endswith("/events")

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: replaced(part) for name, part in value.items()}
        if isinstance(value, list):
            return [replaced(part) for part in value]
        if not isinstance(value, str):
            return value
        if match := _ID.fullmatch(value):
            known = (stock.ended if follows else stock.ids).get(match[1], [])
        else:
            known = stock.digests if _DIGEST.fullmatch(value) else []
        if known and (follows or choice % 8):
            return known[choice // 8 % len(known)]
        return value

    case.path_parameters = replaced(case.path_parameters)
    for name, known in (
        ("subject_request_id", stock.opendsr),
        ("fingerprint", stock.fingerprints),
    ):
        if name in (case.path_parameters or {}) and choice % 8:
            case.path_parameters[name] = known[choice // 8 % len(known)]
    case.query = replaced(case.query)
    case.body = replaced(case.body)
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        _name_a_person(case.body, stock, choice)
    return case


def _name_a_person(body: Any, stock: Stock, choice: int) -> None:
    """One who is in the data, and has mostly not asked yet; else nearly every request would be
    refused for an identity of a type that nothing registered has."""
    if isinstance(body, dict) and "subjects" in body and choice % 8:
        person = stock.persons[choice // 8 % len(stock.persons)]
        body["subjects"] = submission(person)["subjects"]
        body.pop("callback_urls", None)  # at a host that is no webhook's
        if "external_id" in body and not _CASE.fullmatch(str(body["external_id"])):
            body["external_id"] = f"case-{choice % 10**9}"
