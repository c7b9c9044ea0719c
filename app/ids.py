"""Identifiers: time-ordered UUIDs (version 7, RFC 9562), `prefix_` + 32 hex digits on the wire.

The prefix says what kind of thing an id names, so that a run id pasted where a model id belongs is
refused before any look-up.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import uuid_utils.compat
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()


class _Prefixed:
    """Pydantic marker: parses `prefix_<hex>` into a UUID and writes it back the same way."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.pattern = f"^{prefix}_[0-9a-f]{{32}}$"
        self.form = f"{prefix}_ and 32 hexadecimal digits"

    def format(self, value: UUID) -> str:
        return f"{self.prefix}_{value.hex}"

    def parse(self, value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return UUID(hex=value[-32:])
        raise PydanticCustomError(
            "id_form", "must be an id of the form {form}", {"form": self.form}
        )

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.format, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": self.pattern}


def _formatter(prefix: str) -> Callable[[UUID], str]:
    return _Prefixed(prefix).format


ControllerId = Annotated[UUID, _Prefixed("ctl")]
ApiKeyId = Annotated[UUID, _Prefixed("key")]
DatasetId = Annotated[UUID, _Prefixed("dst")]
ModelId = Annotated[UUID, _Prefixed("mdl")]
VersionId = Annotated[UUID, _Prefixed("ver")]
RequestId = Annotated[UUID, _Prefixed("req")]
ItemId = Annotated[UUID, _Prefixed("itm")]
RunId = Annotated[UUID, _Prefixed("run")]
CertificateId = Annotated[UUID, _Prefixed("crt")]
RecheckId = Annotated[UUID, _Prefixed("rck")]
WebhookId = Annotated[UUID, _Prefixed("whk")]
ExportId = Annotated[UUID, _Prefixed("exp")]
MessageId = Annotated[UUID, _Prefixed("msg")]

controller_id = _formatter("ctl")
api_key_id = _formatter("key")
dataset_id = _formatter("dst")
model_id = _formatter("mdl")
version_id = _formatter("ver")
request_id = _formatter("req")
item_id = _formatter("itm")
run_id = _formatter("run")
certificate_id = _formatter("crt")
recheck_id = _formatter("rck")
webhook_id = _formatter("whk")
export_id = _formatter("exp")
message_id = _formatter("msg")
