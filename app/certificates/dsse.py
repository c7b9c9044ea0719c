"""The envelope of a signed statement: DSSE v1 with one signature, in canonical JSON.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

import base64
import json
from typing import Final

from app.canonical import canonical_json
from app.signing import Signer, key_id

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the type and the exact bytes, each with its length before it."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(payload: bytes, signer: Signer) -> bytes:
    """Raises what the signer raises. Says nothing of whether the signature is right."""
    signature = signer.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return canonical_json(
        {
            "payload": _encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": key_id(signer.public), "sig": _encode(signature)}],
        }
    )


def bundle(entry: bytes, envelope: bytes, proof: str) -> bytes:
    """What a third party gets: the same parts always give the same bytes.

    `entry` is the leaf of the audit log, `proof` the text that shows it under a signed head.
    """
    return canonical_json(
        {"entry": _encode(entry), "envelope": json.loads(envelope), "proof": proof}
    )


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
