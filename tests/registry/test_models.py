"""Registering models and versions, through the front door."""

import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from httpx2 import Response

from app.keys.scopes import Scope
from tests.conftest import MakeKey
from tests.registry import content
from tests.registry.content import digest, state, weights
from tests.registry.front import PROBLEM, Front

SECRET = "canary-5520"


def test_a_model_ends_ready_with_its_first_version(front: Front) -> None:
    dataset = front.ready_dataset()
    answer = front.post_model(dataset, front.upload(weights()))

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/models/{answer.json()['id']}"
    assert answer.json()["state"] == "checking"
    assert answer.json()["current_version"] is None
    front.check()
    ready = front.get(f"/models/{answer.json()['id']}")
    assert ready["state"] == "ready", ready
    assert ready["dataset"] == dataset
    assert ready["task"] == "tabular_classification"
    assert ready["current_version"]["number"] == 1
    assert ready["current_version"]["sha256"] == digest(weights())
    assert front.audit_kinds()[-4:] == [
        "registry:model:registered",
        "registry:version:registered",
        "registry:version:ready",
        "registry:model:ready",
    ]


def test_the_current_weights_can_be_pulled_byte_by_byte(front: Front) -> None:
    model = front.model(weights())
    answer = front.api.get(f"/api/v1/models/{model['id']}/versions/current/artifact")

    assert answer.status_code == 200
    assert answer.content == weights()
    assert answer.headers["etag"] == f'"{digest(weights())}"'
    assert answer.headers["lotus-version"] == "1"


def test_pulling_needs_a_scope_of_its_own(front: Front, make_key: MakeKey) -> None:
    model = front.model(weights())
    key = make_key(Scope.REGISTRY_READ, Scope.REGISTRY_WRITE)
    answer = front.api.get(
        f"/api/v1/models/{model['id']}/versions/current/artifact",
        headers={"Authorization": f"Bearer {key}"},
    )

    assert answer.status_code == 403
    assert answer.json()["type"] == PROBLEM + "missing-scope"


def test_versions_that_are_registered_at_the_same_moment_are_counted_one_by_one(
    front: Front,
) -> None:
    model = front.model(weights())["id"]
    uploads = [front.upload(weights(_moved(by))) for by in range(1, 9)]
    together = threading.Barrier(len(uploads))

    def register(sha256: str) -> Response:
        together.wait(30)
        return front.api.post(f"/api/v1/models/{model}/versions", json={"artifact": sha256})

    with ThreadPoolExecutor(len(uploads)) as pool:
        answers = list(pool.map(register, uploads))

    assert [answer.status_code for answer in answers] == [202] * 8
    assert sorted(answer.json()["number"] for answer in answers) == list(range(2, 10))
    front.check()
    assert front.get(f"/models/{model}")["current_version"]["number"] == 9


def _moved(by: float) -> dict[str, torch.Tensor]:
    return {name: tensor + by for name, tensor in state().items()}


def _spoiled(**changes: Any) -> bytes:
    tensors = state()
    for name, value in changes.items():
        key = name.replace("_", ".", 1)
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    return weights(tensors)


def _with_value(value: float) -> torch.Tensor:
    tensor = torch.zeros(4, 3)
    tensor[2, 1] = value
    return tensor


# name: weights, the problem's type, the field that it names
BROKEN: dict[str, tuple[bytes, str, str | None]] = {
    "another shape": (_spoiled(**{"0_weight": torch.zeros(4, 5)}), "weights-mismatch", "0.weight"),
    "another type": (
        _spoiled(**{"0_weight": torch.zeros(4, 3).half()}),
        "weights-mismatch",
        "0.weight",
    ),
    "a tensor missing": (_spoiled(**{"2_bias": None}), "weights-mismatch", "2.bias"),
    "a tensor too many": (
        _spoiled(**{SECRET: torch.zeros(1)}),
        "weights-mismatch",
        None,
    ),
    "NaN": (_spoiled(**{"0_weight": _with_value(float("nan"))}), "weights-not-finite", "0.weight"),
    "infinity": (
        _spoiled(**{"0_weight": _with_value(float("-inf"))}),
        "weights-not-finite",
        "0.weight",
    ),
    "a pickle, renamed": (pickle.dumps({SECRET: [1.0] * 200}), "unreadable-weights", None),
    "cut short": (weights()[:-10], "unreadable-weights", None),
    "cut in its header": (weights()[:40], "unreadable-weights", None),
    "bytes too many": (weights() + b"\x00" * 10, "unreadable-weights", None),
    "a header that claims too much": (
        (2**60).to_bytes(8, "little") + weights()[8:],
        "unreadable-weights",
        None,
    ),
    "empty": (b"", "unreadable-weights", None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_weights_end_invalid_and_leave_nothing(front: Front, name: str) -> None:
    file, code, field = BROKEN[name]
    dataset = front.ready_dataset()
    before = (front.rows_left(), sorted(front.files_left()))
    ended = front.model(file, dataset=dataset)

    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + code
    errors = ended["problem"]["errors"]
    assert (errors and [error["field"] for error in errors]) == (field and [field])
    assert SECRET not in json.dumps(ended)
    assert ended["current_version"] is None
    assert (front.rows_left(), sorted(front.files_left())) == before
    assert front.artifact(digest(file)).state == "destroyed"
    versions = front.get(f"/models/{ended['id']}/versions")["items"]
    assert [version["state"] for version in versions] == ["invalid"]
    assert versions[0]["problem"] == ended["problem"]
    assert front.audit_kinds()[-3:] == [
        "registry:version:invalid",
        "registry:model:invalid",
        "storage:artifact:destroyed",
    ]


def test_a_renamed_pickle_is_never_executed(front: Front, tmp_path: Any) -> None:
    trace = tmp_path / "executed"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(trace), "w"))

    ended = front.model(pickle.dumps(Attack()))

    assert ended["problem"]["type"] == PROBLEM + "unreadable-weights"
    assert not trace.exists()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"architecture": SECRET}, "unknown-architecture", "architecture"),
        (
            {"config": content.MLP | {"hidden": []}},
            "invalid-architecture-config",
            "config.hidden",
        ),
        ({"config": content.MLP | {SECRET: 1}}, "invalid-architecture-config", "config"),
        ({"config": content.MLP | {"num_classes": 3}}, "dataset-mismatch", "config.num_classes"),
        ({"config": content.MLP | {"in_features": 4}}, "dataset-mismatch", "config"),
        (
            {"architecture": "resnet-small", "config": content.RESNET},
            "dataset-mismatch",
            "config",
        ),
    ],
)
def test_an_architecture_that_cannot_be_used_ends_the_model(
    front: Front, changes: dict[str, Any], code: str, field: str
) -> None:
    ended = front.model(weights(), **changes)

    assert ended["state"] == "invalid"
    assert ended["problem"]["type"] == PROBLEM + code
    assert ended["problem"]["errors"][0]["field"] == field
    assert SECRET not in json.dumps(ended["problem"])


def test_a_name_is_free_again_once_its_model_was_invalid(front: Front) -> None:
    dataset = front.ready_dataset()
    first = front.model(weights()[:-4], dataset=dataset)
    second = front.model(weights(), dataset=dataset)

    assert (first["state"], second["state"]) == ("invalid", "ready")


def test_a_name_in_use_is_refused(front: Front) -> None:
    model = front.model(weights())
    answer = front.post_model(model["dataset"], front.upload(weights()))

    assert answer.status_code == 409
    assert answer.json()["type"] == PROBLEM + "name-taken"


def test_a_dataset_that_is_not_ready_takes_no_model(front: Front) -> None:
    manifest = front.upload(content.parquet(content.feature_columns()))
    dataset = front.post_dataset(manifest).json()["id"]
    answer = front.post_model(dataset, front.upload(weights()))

    assert answer.status_code == 409
    assert answer.json()["type"] == PROBLEM + "dataset-not-ready"


def test_a_normalization_must_have_a_number_for_each_channel(front: Front) -> None:
    answer = front.post_model(
        front.ready_dataset(),
        front.upload(weights()),
        normalization={"mean": [0.5], "std": [0.5]},
    )

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "normalization-mismatch"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}}, "body.config"),
        ({"config": {SECRET: "\x00"}}, "body.config"),
        ({"config": {SECRET: 10**30}}, "body.config"),
        ({"config": [SECRET]}, "body.config"),
        ({"normalization": {"mean": [0.0], "std": [0.0]}}, "body.normalization.std.0"),
        ({"normalization": {"mean": [0.0], "std": [1.0, 1.0]}}, "body.normalization"),
        ({"policy": {"settings": {"alpha": 1000}}}, "body.policy.settings.alpha"),
        ({"policy": {"settings": {SECRET: 1}}}, "body.policy.settings"),
        ({"policy": {"mode": SECRET}}, "body.policy.mode"),
        ({"training_recipe": {"optimizer": "sgd"}}, "body.training_recipe.learning_rate"),
        ({"dataset": "mdl_" + "0" * 32}, "body.dataset"),
    ],
)
def test_what_the_schema_refuses_is_named_and_not_repeated(
    front: Front, changes: dict[str, Any], field: str
) -> None:
    answer = front.post_model("dst_" + "0" * 32, "0" * 64, **changes)

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "invalid-input"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": Infinity}', '{"\\ud800": 1}', '{"a": "\\ud800"}']
)
def test_json_that_no_database_can_keep_is_refused(front: Front, text: str) -> None:
    body = json.dumps(
        {"name": "m", "dataset": "dst_" + "0" * 32, "architecture": "mlp", "artifact": "0" * 64}
    )
    answer = front.api.post(
        "/api/v1/models",
        content=body[:-1] + f', "config": {text}}}',
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["body.config"]


def test_a_policy_is_replaced_as_a_whole_and_logged(front: Front) -> None:
    model = front.model(weights(), policy={"coalesce_seconds": 60, "settings": {"alpha": 6}})
    assert model["policy"]["coalesce_seconds"] == 60
    assert model["policy"]["settings"] == {"alpha": 6}

    answer = front.api.put(f"/api/v1/models/{model['id']}/policy", json={"mode": "paper"})

    assert answer.status_code == 200
    assert answer.json()["policy"]["mode"] == "paper"
    assert answer.json()["policy"]["coalesce_seconds"] is None
    assert front.get(f"/models/{model['id']}")["policy"] == answer.json()["policy"]
    assert front.audit_kinds()[-1] == "registry:policy:changed"


def test_a_new_version_supersedes_the_one_before(front: Front) -> None:
    model = front.model(weights())
    other = weights({name: tensor + 1 for name, tensor in state().items()})
    answer = front.api.post(
        f"/api/v1/models/{model['id']}/versions", json={"artifact": front.upload(other)}
    )

    assert answer.status_code == 202
    assert answer.json()["number"] == 2
    assert answer.json()["lineage"] == answer.json()["id"]
    front.check()
    versions = front.get(f"/models/{model['id']}/versions")["items"]
    assert [(one["number"], one["state"]) for one in versions] == [
        (2, "active"),
        (1, "superseded"),
    ]
    assert front.get(f"/models/{model['id']}")["current_version"]["sha256"] == digest(other)
    assert front.get(f"/models/{model['id']}/versions/2")["metrics"] is None


def test_an_invalid_version_leaves_the_model_with_the_one_before(front: Front) -> None:
    model = front.model(weights())
    front.api.post(
        f"/api/v1/models/{model['id']}/versions", json={"artifact": front.upload(weights()[:-4])}
    )
    front.check()

    found = front.get(f"/models/{model['id']}")
    assert found["state"] == "ready"
    assert found["current_version"]["number"] == 1
    version = front.get(f"/models/{model['id']}/versions/2")
    assert version["state"] == "invalid"
    assert version["problem"]["type"] == PROBLEM + "unreadable-weights"


def test_two_models_may_have_the_same_weights(front: Front) -> None:
    dataset = front.ready_dataset()
    sha256 = front.upload(weights())
    for name in ("first", "second"):
        assert front.post_model(dataset, sha256, name=name).status_code == 202
    assert front.check() == 2

    states = [item["state"] for item in front.get("/models")["items"]]
    assert states == ["ready", "ready"]
    assert front.artifact(sha256).state == "stored"


@pytest.mark.parametrize(
    "path",
    [
        "/models/mdl_" + "0" * 32,
        "/models/mdl_" + "0" * 32 + "/versions",
        "/models/mdl_" + "0" * 32 + "/versions/1",
        "/models/mdl_" + "0" * 32 + "/versions/current/artifact",
    ],
)
def test_an_unknown_model_is_not_found(front: Front, path: str) -> None:
    answer = front.api.get(f"/api/v1{path}")

    assert answer.status_code == 404
    assert answer.json()["type"] == PROBLEM + "unknown-model"


def test_an_unknown_version_is_not_found(front: Front) -> None:
    model = front.model(weights())
    answer = front.api.get(f"/api/v1/models/{model['id']}/versions/2")

    assert answer.status_code == 404
    assert answer.json()["type"] == PROBLEM + "unknown-version"


def test_another_controllers_key_finds_what_does_not_exist(front: Front, make_key: MakeKey) -> None:
    model = front.model(weights())
    unknown = {
        "model": "mdl_" + "0" * 32,
        "dataset": "dst_" + "0" * 32,
    }
    front.api.headers["Authorization"] = f"Bearer {make_key(controller='another')}"

    for kind, foreign in (("model", model["id"]), ("dataset", model["dataset"])):
        answers = [
            front.api.get(f"/api/v1/{kind}s/{identity}") for identity in (foreign, unknown[kind])
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json() == answers[1].json()
        assert front.get(f"/{kind}s")["items"] == []
    sha256 = front.upload(weights())
    for path, body in (
        (f"/models/{model['id']}/versions", {"artifact": sha256}),
        ("/models", None),
    ):
        answer = (
            front.api.post(f"/api/v1{path}", json=body)
            if body
            else front.post_model(model["dataset"], sha256)
        )
        assert answer.status_code == 404
    answer = front.api.put(f"/api/v1/models/{model['id']}/policy", json={})
    assert answer.json()["type"] == PROBLEM + "unknown-model"


def test_knowing_a_digest_does_not_give_another_controllers_weights(
    front: Front, make_key: MakeKey
) -> None:
    front.model(weights())
    front.api.headers["Authorization"] = f"Bearer {make_key(controller='another')}"
    dataset = front.ready_dataset()
    answer = front.post_model(dataset, digest(weights()))

    assert answer.status_code == 422
    assert answer.json()["type"] == PROBLEM + "unknown-artifact"
