"""Exact retraining: from scratch, on the retain set alone, with a count of what was read."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.methods import REGISTRY, Epoch
from workers.unlearning.methods.retrain import FrozenParameters, RetrainConfig
from workers.unlearning.reader import ForbiddenRow, TrainingReader
from workers.unlearning.settings import InvalidConfig

CONFIG = RetrainConfig(learning_rate=1e-2, epochs=4, batch_size=16)
POISON = 7.0


def clusters(count: int, generator: torch.Generator) -> LabelledSet:
    labels = torch.randint(3, (count,), generator=generator)
    inputs = torch.randn(count, 6, generator=generator)
    inputs[torch.arange(count), labels] += 3.0
    return LabelledSet(inputs, labels)


@pytest.fixture
def data() -> UnlearningData:
    generator = torch.Generator().manual_seed(0)
    forget, retain, validation = (clusters(n, generator) for n in (20, 90, 60))
    return UnlearningData(forget, retain, validation, 3)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3)
    ).eval()


def run(
    data: UnlearningData,
    config: RetrainConfig = CONFIG,
    seed: int = 1,
    model: nn.Module | None = None,
) -> tuple[nn.Module, list[Epoch]]:
    student = copy.deepcopy(model or network())
    generator = torch.Generator().manual_seed(seed)
    return student, list(REGISTRY["retrain"].unlearn(student, data, config, generator))


def same(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_retain_set_is_learned_and_every_row_is_read_once_an_epoch(
    data: UnlearningData,
) -> None:
    model, epochs = run(data)
    answers = model(data.retain.inputs).argmax(dim=1)
    assert (answers == data.retain.labels).double().mean() > 0.9
    served = epochs[-1].served
    assert served is not None
    assert (served.rows_in_set, served.forbidden_rows) == (110, 20)
    assert (served.rows_served, served.distinct_rows_served) == (4 * 90, 90)
    assert served.forbidden_rows_served == served.refused_batches == 0
    assert served.distinct_sha256 == served.allowed_sha256
    assert epochs[-1].steps == 4 * 6  # 90 rows in batches of 16


def test_the_result_depends_on_neither_the_old_weights_nor_the_forget_set(
    data: UnlearningData,
) -> None:
    other = network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    poisoned = replace(data, forget=LabelledSet(data.forget.inputs + POISON, data.forget.labels))
    reference, _ = run(data)
    assert same(reference, run(data, model=other)[0])
    assert same(reference, run(poisoned)[0])
    assert not same(reference, run(data, seed=2)[0])


def test_a_training_that_asks_for_a_forget_row_ends_with_the_old_weights(
    data: UnlearningData, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = property(lambda reader: torch.arange(len(reader)))
    monkeypatch.setattr(TrainingReader, "allowed", everything)
    student, before = network(), network()
    generator = torch.Generator().manual_seed(1)
    with pytest.raises(ForbiddenRow):
        list(REGISTRY["retrain"].unlearn(student, data, CONFIG, generator))
    assert same(student, before)


def test_closing_the_iterator_early_gives_the_original_weights_back(data: UnlearningData) -> None:
    student, before = network(), network()
    epochs = REGISTRY["retrain"].unlearn(student, data, CONFIG, torch.Generator().manual_seed(1))
    next(epochs)
    assert not same(student, before)
    epochs.close()
    assert same(student, before)


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("sgd", "cosine"), ("adam", "one_cycle"), ("adamw", "constant"), ("sgd", "one_cycle")],
)
def test_every_optimizer_and_schedule_trains(
    data: UnlearningData, optimizer: str, schedule: str
) -> None:
    rate = 0.1 if optimizer == "sgd" else 0.01
    config = replace(CONFIG, optimizer=optimizer, schedule=schedule, learning_rate=rate, epochs=6)
    model, epochs = run(data, config)
    assert epochs[-1].loss is not None and epochs[0].loss is not None
    assert epochs[-1].loss < epochs[0].loss
    assert (model(data.retain.inputs).argmax(dim=1) == data.retain.labels).double().mean() > 0.85


def test_augmentation_is_for_images_and_changes_what_is_trained_on() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [
        LabelledSet(torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 2)
        for n in (4, 24, 8)
    ]
    data = UnlearningData(images[0], images[1], images[2], 2)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    config = replace(CONFIG, epochs=1)
    plain, augmented = (
        run(data, replace(config, augmentation=kind), model=model)[0]
        for kind in ("none", "crop_and_flip")
    )
    assert not same(plain, augmented)


def test_a_network_with_frozen_parameters_is_not_retrained(data: UnlearningData) -> None:
    student = network()
    student[0].requires_grad_(False)
    with pytest.raises(FrozenParameters, match="2 parameters"):
        list(REGISTRY["retrain"].unlearn(student, data, CONFIG, torch.Generator()))


def test_a_retain_set_that_hides_a_copy_of_the_forget_set_is_reported(
    data: UnlearningData,
) -> None:
    hiding = replace(data, retain=data.forget.followed_by(data.retain))
    served = run(hiding)[1][-1].served
    assert served is not None
    assert served.equal_rows == 20


def test_one_cycle_takes_no_momentum_since_it_has_its_own() -> None:
    with pytest.raises(InvalidConfig, match="momentum"):
        RetrainConfig(optimizer="sgd", schedule="one_cycle", momentum=0.9)
