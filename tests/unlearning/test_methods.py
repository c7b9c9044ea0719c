"""The methods, on a small network with BatchNorm that has memorised noisy labels."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.errors import NonFiniteLoss, ShapeMismatch
from workers.unlearning.evaluation import predict
from workers.unlearning.methods import REGISTRY, Epoch, lotus
from workers.unlearning.methods.noop import NoopConfig
from workers.unlearning.settings import InvalidConfig
from workers.unlearning.steering import members, validation_signal
from workers.unlearning.weights import recalibrate_batch_norm

CLASSES = 3
PAPER = LotusConfig.from_dict(
    {
        "mode": "paper",
        "alpha": 8.0,
        "learning_rate": 3e-3,
        "epochs": 6,
        "batch_size": 32,
        "retain_fraction": 0.3,
        "class_matched": False,
        "smoothing": 0.0,
    }
)
GUIDED = LotusConfig(learning_rate=1e-2, epochs=20, batch_size=32, alpha=6.0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noisy_clusters(count: int, generator: torch.Generator) -> LabelledSet:
    """Three overlapping clusters; a fifth of the labels is random, so only memory gets them."""
    labels = torch.randint(CLASSES, (count,), generator=generator)
    inputs = torch.randn(count, 8, generator=generator)
    inputs[torch.arange(count), labels] += 1.5
    flipped = torch.rand(count, generator=generator) < 0.2
    labels[flipped] = torch.randint(CLASSES, (int(flipped.sum()),), generator=generator)
    return LabelledSet(inputs, labels)


@pytest.fixture(scope="module")
def data() -> UnlearningData:
    generator = torch.Generator().manual_seed(0)
    forget, retain, validation = (noisy_clusters(n, generator) for n in (40, 160, 300))
    return UnlearningData(forget, retain, validation, CLASSES)


@pytest.fixture(scope="module")
def trained(data: UnlearningData) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
        nn.Linear(64, CLASSES),
    )  # fmt: skip
    inputs = torch.cat([data.forget.inputs, data.retain.inputs])
    labels = torch.cat([data.forget.labels, data.retain.labels])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval()


def run(
    model: nn.Module, data: UnlearningData, config: LotusConfig, seed: int = 7
) -> tuple[nn.Module, list[Epoch]]:
    student = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    return student, list(REGISTRY["lotus"].unlearn(student, data, config, generator))


def largest_difference(left: nn.Module, right: nn.Module) -> float:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def test_paper_mode_runs_every_epoch_and_keeps_the_last(
    trained: nn.Module, data: UnlearningData
) -> None:
    _, epochs = run(trained, data, PAPER)
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert all(epoch.best and epoch.validation_auc is None for epoch in epochs)
    assert epochs[-1].steps == 6 * 3  # 40 + 48 rows in batches of 32


def test_the_same_seed_gives_bit_equal_weights_and_another_seed_others(
    trained: nn.Module, data: UnlearningData
) -> None:
    first, _ = run(trained, data, GUIDED)
    again, _ = run(trained, data, GUIDED)
    other, _ = run(trained, data, GUIDED, seed=8)
    assert largest_difference(first, again) == 0.0
    assert largest_difference(first, other) > 0.0


def test_dropout_follows_the_seed_and_leaves_the_global_random_state_alone(
    trained: nn.Module, data: UnlearningData
) -> None:
    model = nn.Sequential(nn.Dropout(0.5), copy.deepcopy(trained))
    torch.manual_seed(1)
    first, _ = run(model, data, PAPER)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again, _ = run(model, data, PAPER)
    assert largest_difference(first, again) == 0.0
    torch.manual_seed(1)
    run(model, data, PAPER)
    assert torch.equal(torch.get_rng_state(), state)


class SecondOfFour:
    """A selection that keeps the second epoch and ends after the fourth."""

    steers = True
    seen = 0

    @property
    def finished(self) -> bool:
        return self.seen == 4

    def observe(self, accuracy_gap: float, signal: object) -> bool:
        assert signal is not None
        self.seen += 1
        return self.seen == 2


def test_guided_mode_keeps_the_weights_of_the_epoch_that_was_selected(
    trained: nn.Module, data: UnlearningData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lotus, "selection_for", lambda config, sets: SecondOfFour())
    student = copy.deepcopy(trained)
    states = []
    for epoch in lotus.unlearn(student, data, GUIDED, torch.Generator().manual_seed(7)):
        assert epoch.best == (epoch.number == 2)
        states.append(copy.deepcopy(student))
    assert len(states) == 4
    assert largest_difference(student, states[1]) == 0.0
    assert largest_difference(student, states[3]) > 0.0
    assert not student.training


def band(model: nn.Module, data: UnlearningData, unseen: LabelledSet) -> float:
    sets = replace(data, validation=unseen)
    forget, others, trained = (
        predict(model, samples.inputs) for samples in (data.forget, unseen, members(sets))
    )
    found = validation_signal(forget, others, trained, sets).band
    assert found is not None
    return found


def test_guided_mode_halves_the_band_advantage_on_samples_that_it_never_read(
    trained: nn.Module, data: UnlearningData
) -> None:
    unseen = noisy_clusters(400, torch.Generator().manual_seed(99))
    before = band(trained, data, unseen)
    assert before > 0.3
    assert band(run(trained, data, GUIDED)[0], data, unseen) < before / 2


def test_closing_the_iterator_early_gives_the_original_weights_back(
    trained: nn.Module, data: UnlearningData
) -> None:
    student = copy.deepcopy(trained)
    epochs = REGISTRY["lotus"].unlearn(student, data, PAPER, torch.Generator().manual_seed(7))
    next(epochs)
    assert largest_difference(student, trained) > 0.0
    epochs.close()
    assert largest_difference(student, trained) == 0.0
    assert not student.training


class Exploding(nn.Module):
    """Gives NaN in train mode."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits * float("nan") if self.training else logits


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_nothing(
    trained: nn.Module, data: UnlearningData
) -> None:
    student = Exploding(copy.deepcopy(trained))
    with pytest.raises(NonFiniteLoss, match="epoch 1"):
        list(REGISTRY["lotus"].unlearn(student, data, PAPER, torch.Generator().manual_seed(7)))
    assert largest_difference(student, Exploding(trained)) == 0.0


def test_a_network_with_another_number_of_classes_is_refused(
    trained: nn.Module, data: UnlearningData
) -> None:
    with pytest.raises(ShapeMismatch):
        run(trained, replace(data, num_classes=CLASSES + 1), PAPER)


def test_released_mode_makes_no_update_when_the_forget_set_is_already_below_the_goal(
    trained: nn.Module, data: UnlearningData
) -> None:
    wrong = LabelledSet(data.forget.inputs, (data.forget.labels + 1) % CLASSES)
    student, epochs = run(trained, replace(data, forget=wrong), replace(PAPER, mode="released"))
    assert epochs == []
    assert largest_difference(student, trained) == 0.0


def test_released_mode_rounds_both_accuracies_before_the_temperature(
    trained: nn.Module, data: UnlearningData
) -> None:
    _, paper = run(trained, data, replace(PAPER, epochs=1))
    _, released = run(trained, data, replace(PAPER, mode="released", epochs=1))
    goal = paper[0].target_accuracy
    assert goal != round(goal, 2)
    gap = round(math.log(released[0].temperature) / PAPER.alpha, 6)
    assert gap == round(1.0 - round(goal, 2), 6)  # all of D_f is known by heart


def test_a_wholly_forgotten_class_is_stopped_where_its_accuracy_is_lowest(
    trained: nn.Module, data: UnlearningData
) -> None:
    both = LabelledSet(
        torch.cat([data.forget.inputs, data.retain.inputs]),
        torch.cat([data.forget.labels, data.retain.labels]),
    )
    of_class = both.labels == 2
    whole = replace(data, forget=both.select(of_class), retain=both.select(~of_class))
    student, epochs = run(trained, whole, replace(GUIDED, alpha=32.0, learning_rate=3e-3))
    assert {epoch.target_accuracy for epoch in epochs} == {0.0}
    lowest = min(epoch.forget_accuracy for epoch in epochs)
    assert lowest < 1 / 3 < epochs[-1].forget_accuracy < 1  # it oscillates after the lowest
    answers = predict(student, whole.forget.inputs).argmax(dim=1)
    assert (answers == 2).double().mean().item() == pytest.approx(lowest)


def test_a_last_batch_of_one_row_is_trained_with_the_batch_before_it(
    trained: nn.Module, data: UnlearningData
) -> None:
    # 40 + 160 rows in batches of 199: BatchNorm has no statistics for the single row left over
    config = LotusConfig(batch_size=199, epochs=1, steer=False)
    _, epochs = run(trained, data, config)
    assert epochs[0].steps == 1


def test_recalibration_gives_batch_norm_the_statistics_of_the_given_inputs() -> None:
    layer = nn.BatchNorm1d(1)
    model = nn.Sequential(layer)
    recalibrate_batch_norm(model, torch.tensor([[1.0], [3.0], [5.0], [7.0]]), batch_size=2)
    assert layer.running_mean is not None and layer.running_var is not None
    assert layer.running_mean.item() == pytest.approx(4.0)
    assert layer.running_var.item() == pytest.approx(2.0)  # mean of the batches' sample variances
    assert not layer.training and layer.momentum == 0.1


def test_recalibration_copes_with_one_row_left_over_and_with_a_single_row() -> None:
    layer = nn.BatchNorm1d(1)
    model = nn.Sequential(layer)
    recalibrate_batch_norm(model, torch.tensor([[1.0], [2.0], [6.0]]), batch_size=2)
    assert layer.running_mean is not None
    assert layer.running_mean.item() == pytest.approx(3.0)
    recalibrate_batch_norm(model, torch.tensor([[9.0]]), batch_size=2)
    assert layer.running_mean.item() == pytest.approx(3.0)


def test_recalibrated_statistics_are_the_ones_that_are_kept(
    trained: nn.Module, data: UnlearningData
) -> None:
    config = replace(GUIDED, bn_recalibrate=True, steer=False, epochs=2)
    student, _ = run(trained, data, config)
    expected = copy.deepcopy(student)
    order = torch.randperm(160, generator=torch.Generator().manual_seed(7))
    recalibrate_batch_norm(expected, data.retain.inputs[order], config.batch_size)
    assert largest_difference(student, expected) <= 1e-6


def test_noop_yields_nothing_and_changes_no_bit(trained: nn.Module, data: UnlearningData) -> None:
    student = copy.deepcopy(trained)
    noop = REGISTRY["noop"]
    assert list(noop.unlearn(student, data, NoopConfig(), torch.Generator())) == []
    assert largest_difference(student, trained) == 0.0


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_method_reads_its_config_from_a_dict_and_names_unknown_keys(name: str) -> None:
    config_type = REGISTRY[name].config_type
    config = config_type()
    assert config_type.from_dict(config.to_dict()) == config
    with pytest.raises(InvalidConfig, match="temprature"):
        config_type.from_dict({"temprature": 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "fast"),
        ("alpha", 0.0),
        ("alpha", float("nan")),
        ("alpha", 65),
        ("alpha", "6"),
        ("learning_rate", 2.0),
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("batch_size", 1),
        ("retain_fraction", 1.1),
        ("betas", [0.9]),
        ("betas", [0.9, 1.0]),
        ("betas", 0.9),
        ("smoothing", -1.0),
        ("class_matched", 1),
        ("patience", 0),
        ("auc_floor", 0.6),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InvalidConfig, match=field):
        LotusConfig.from_dict({field: value})


def test_paper_mode_refuses_what_the_paper_does_not_have() -> None:
    with pytest.raises(InvalidConfig, match="smoothing"):
        LotusConfig.from_dict({"mode": "paper"})
