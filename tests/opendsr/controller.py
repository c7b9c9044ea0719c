"""A controller as the protocol describes it: it believes nothing before the domain, the certificate
and the signature over the raw bytes have been checked, and parses only then."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

V1, V2 = "/opendsr/v1", "/opendsr/v2"
REQUESTS = {V1: f"{V1}/opengdpr_requests", V2: f"{V2}/requests"}
HEADERS = {V1: "X-OpenGDPR", V2: "X-OpenDSR"}


class NotBelieved(AssertionError):
    """What came was not from the processor."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found

    @property
    def error(self) -> dict[str, Any]:
        """Of a refusal, whose form is checked."""
        error = self.body["error"]
        assert list(self.body) == ["error"]
        assert error["code"] == self.status
        assert isinstance(error["message"], str) and error["message"]
        assert error["errors"]
        for one in error["errors"]:
            assert sorted(one) == ["domain", "message", "reason"]
        assert self.headers["cache-control"] == "no-store"
        return dict(error)

    @property
    def reason(self) -> str:
        return str(self.error["errors"][0]["reason"])

    @property
    def said(self) -> str:
        return " ".join(one["message"] for one in self.error["errors"])


@dataclass
class Verifier:
    """Knows the processor by its domain and its certificate, and that by an authority (or, where a
    machine vouches for itself, by nobody)."""

    domain: str
    leaf: x509.Certificate
    authority: x509.Certificate | None

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        if not self.leaf.not_valid_before_utc <= now <= self.leaf.not_valid_after_utc:
            raise NotBelieved("the certificate is not valid now")
        names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        given = [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
        if self.domain not in given:
            raise NotBelieved("the certificate is another domain's")
        key = self.leaf.public_key()
        if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
            raise NotBelieved("the key is too weak")
        self.leaf.verify_directly_issued_by(self.authority or self.leaf)

    def check(self, version: str, headers: Mapping[str, str], raw: bytes) -> None:
        name = HEADERS[version]
        if headers.get(f"{name}-Processor-Domain".lower()) != self.domain:
            raise NotBelieved("the domain is not the processor's")
        text = headers.get(f"{name}-Signature".lower(), "")
        signature = base64.b64decode(text, validate=True)
        if base64.b64encode(signature).decode() != text:
            raise NotBelieved("the signature is not in one line of standard base64")
        key = self.leaf.public_key()
        assert isinstance(key, RSAPublicKey)
        try:
            key.verify(signature, raw, PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise NotBelieved("the signature is not over these bytes") from None


def erasure(value: str = "", kind: str = "controller_customer_id", **fields: Any) -> dict[str, Any]:
    """The body of a request. A field that is given as ... is left out."""
    body: dict[str, Any] = {
        "regulation": "gdpr",
        "subject_request_id": str(uuid4()),
        "subject_request_type": "erasure",
        "submitted_time": "2026-03-02T12:00:00Z",
        "subject_identities": [
            {
                "identity_type": kind,
                "identity_value": value or f"nobody-{uuid4()}",
                "identity_format": "raw",
            }
        ],
        "api_version": "2.0",
    }
    return {key: given for key, given in (body | fields).items() if given is not ...}


@dataclass
class Controller:
    client: httpx2.Client
    key: str = field(repr=False)
    authority: x509.Certificate | None = None
    # In whose data persons are; None where nobody is known.
    known: str | None = None
    known_type: str = "controller_customer_id"
    verifier: Verifier = field(init=False)

    def __post_init__(self) -> None:
        found = self.client.get(f"{V2}/discovery")
        assert found.status_code == 200, found.text
        self.verifier = self.verifier_of(found.json()["processor_certificate"])
        self.verifier.check(V2, found.headers, found.content)

    def verifier_of(self, url: str) -> Verifier:
        """The certificate lies on the domain itself; here that is reached by another way."""
        where = urlsplit(url)
        pem = self.client.get(where.path)
        assert pem.status_code == 200
        leaf = x509.load_pem_x509_certificates(pem.content)[0]
        host = where.hostname or ""
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if self.authority is None and host not in names.get_values_for_type(x509.DNSName):
            host = names.get_values_for_type(x509.DNSName)[0]  # a machine without a public name
        return Verifier(host, leaf, self.authority)

    def call(
        self,
        method: str,
        path: str,
        *,
        auth: str | None = "",
        headers: Mapping[str, str] = {},
        **how: Any,
    ) -> Answer:
        sent = {"Authorization": auth or f"Bearer {self.key}", **headers}
        request = self.client.build_request(method, path, headers=sent, **how)
        if auth is None:
            del request.headers["Authorization"]
        response = self.client.send(request)
        version = V1 if path.startswith(V1) else V2
        self.verifier.check(version, response.headers, response.content)
        return Answer(response.status_code, response.headers, response.content)

    def post(self, body: Any, version: str = V2, **how: Any) -> Answer:
        return self.post_raw(json.dumps(body).encode("ascii"), version, **how)

    def post_raw(
        self, raw: bytes, version: str = V2, media: str = "application/json", **how: Any
    ) -> Answer:
        headers = {"Content-Type": media}
        return self.call("POST", REQUESTS[version], content=raw, headers=headers, **how)

    def get(self, identity: str, version: str = V2, **how: Any) -> Answer:
        return self.call("GET", f"{REQUESTS[version]}/{identity}", **how)

    def delete(self, identity: str, version: str = V2, **how: Any) -> Answer:
        return self.call("DELETE", f"{REQUESTS[version]}/{identity}", **how)

    def accepted(self, body: dict[str, Any], version: str = V2) -> str:
        answer = self.post(body, version)
        assert answer.status == 201, answer.raw
        return str(body["subject_request_id"])

    def status(self, identity: str) -> dict[str, Any]:
        answer = self.get(identity)
        assert answer.status == 200, answer.raw
        return answer.body

    def own(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What the processor says under its own domain."""
        assert list(body["extensions"]) == [self.verifier.domain]
        return dict(body["extensions"][self.verifier.domain])

    def person(self, **fields: Any) -> dict[str, Any]:
        """A request for somebody who is in the data."""
        assert self.known is not None
        return erasure(self.known, self.known_type, **fields)

    def nobody(self, **fields: Any) -> dict[str, Any]:
        return erasure(kind=self.known_type, **fields)
