"""The fast path computes what the published loop computes, on a ResNet trained on real digits."""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from benchmarks.data import NUM_CLASSES, digits, split
from benchmarks.training import trained
from tests.unlearning import published_loop
from workers.unlearning.config import LotusConfig
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.distributions import t_quantile
from workers.unlearning.evaluation import EvaluationSets, observe, predict
from workers.unlearning.methods import REGISTRY
from workers.unlearning.methods.epoch import Epoch
from workers.unlearning.metrics import membership_inference, rf_jsd
from workers.unlearning.scores import softmax
from workers.unlearning.views import View

SEEDS = range(12)
PAPER = LotusConfig.from_dict(
    {
        "mode": "paper",
        "alpha": 2.0,
        "learning_rate": 1e-4,
        "epochs": 5,
        "retain_fraction": 0.3,
        "class_matched": False,
        "smoothing": 0.0,
    }
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sets() -> dict[str, LabelledSet]:
    parts = split(digits(), [60, 240, 300, 600], seed=1)
    return dict(zip(("forget", "retain", "validation", "test"), parts, strict=True))


@pytest.fixture(scope="module")
def data(sets: dict[str, LabelledSet]) -> UnlearningData:
    return UnlearningData(sets["forget"], sets["retain"], sets["validation"], NUM_CLASSES)


@pytest.fixture(scope="module")
def model(data: UnlearningData) -> nn.Module:
    return trained(data.forget.followed_by(data.retain), seed=1, epochs=12)


def as_bytes(samples: LabelledSet) -> LabelledSet:
    """Digits hold 17 grey levels, so bytes keep them apart."""
    return LabelledSet((samples.inputs * 255).round().to(torch.uint8), samples.labels)


def run(
    model: nn.Module, data: UnlearningData, config: LotusConfig, seed: int
) -> tuple[nn.Module, list[Epoch]]:
    student = copy.deepcopy(model)
    epochs = list(
        REGISTRY["lotus"].unlearn(student, data, config, torch.Generator().manual_seed(seed))
    )
    return student, epochs


def largest_difference(left: nn.Module, right: nn.Module) -> float:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def test_paper_mode_takes_the_published_loop_step_by_step(
    model: nn.Module, data: UnlearningData
) -> None:
    config = replace(PAPER, alpha=8.0, learning_rate=1e-3)
    literal = copy.deepcopy(model)
    temperatures = published_loop.unlearn(literal, data, config, seed=7)
    student, epochs = run(model, data, config, seed=7)
    assert [epoch.temperature for epoch in epochs] == pytest.approx(temperatures, rel=1e-12)
    assert largest_difference(student, literal) <= 1e-6
    assert largest_difference(student, model) > 1e-3


def test_images_kept_as_bytes_are_unlearned_as_the_published_loop_does(
    model: nn.Module, data: UnlearningData
) -> None:
    stored = UnlearningData(
        *(as_bytes(samples) for samples in data.sets().values()),
        NUM_CLASSES,
        View(mean=(0.3,), std=(0.4,)),
    )
    literal = copy.deepcopy(model)
    temperatures = published_loop.unlearn(literal, stored, PAPER, seed=3)
    student, epochs = run(model, stored, PAPER, seed=3)
    assert [epoch.temperature for epoch in epochs] == pytest.approx(temperatures, rel=1e-12)
    assert largest_difference(student, literal) <= 1e-6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_fast_kernels_are_equivalent_to_the_published_loop_over_seeds(
    model: nn.Module, data: UnlearningData, sets: dict[str, LabelledSet], precision: str
) -> None:
    """Two one-sided tests at .05 over paired seeds: accuracies within half a point, RF-JSD within
    5 %."""
    fast = replace(PAPER, kernels="fast", precision=precision)
    accuracies, divergences = [], []
    for seed in SEEDS:
        literal = copy.deepcopy(model)
        published_loop.unlearn(literal, data, PAPER, seed)
        student, _ = run(model, data, fast, seed)
        assert largest_difference(student, literal) > 0.0
        pair = [figures(network, model, sets) for network in (student, literal)]
        accuracies.append([a - b for a, b in zip(pair[0][0], pair[1][0], strict=True)])
        divergences.append(math.log(pair[0][1] / pair[1][1]))
    for difference in zip(*accuracies, strict=True):
        assert_within(list(difference), 0.005)
    assert_within(divergences, math.log(1.05))


def figures(
    network: nn.Module, original: nn.Module, sets: dict[str, LabelledSet]
) -> tuple[list[float], float]:
    answers = {name: predict(network.eval(), samples.inputs) for name, samples in sets.items()}
    accuracies = [
        float((answers[name].argmax(dim=1) == sets[name].labels).double().mean())
        for name in ("forget", "retain", "test")
    ]
    unseen = predict(original, sets["test"].inputs)
    found = rf_jsd(
        torch.softmax(answers["forget"].double(), dim=1),
        sets["forget"].labels,
        torch.softmax(unseen.double(), dim=1),
        sets["test"].labels,
        NUM_CLASSES,
    )
    return accuracies, found.value


def assert_within(differences: list[float], margin: float) -> None:
    values = torch.tensor(differences, dtype=torch.float64)
    error = float(values.std()) / math.sqrt(len(values))
    bound = abs(float(values.mean())) + t_quantile(0.05, len(values) - 1) * error
    assert bound < margin


def test_one_batched_pass_gives_the_figures_of_the_published_evaluation(
    model: nn.Module, sets: dict[str, LabelledSet]
) -> None:
    view = View(mean=(0.1,), std=(0.9,))
    student = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.01)
    published = published_loop.evaluate(model, student, sets, view, NUM_CLASSES)
    before, after = (
        observe(network, EvaluationSets(**sets, view=view)) for network in (model, student)
    )
    for name, accuracy in published.accuracies.items():
        seen = getattr(after, name)
        assert (seen.logits.argmax(axis=1) == seen.labels).mean() == pytest.approx(accuracy)
    probs = {
        name: softmax(getattr(after, name).logits.astype(float))
        for name in ("retain", "test", "forget")
    }
    attack = membership_inference(probs["retain"], probs["test"], probs["forget"])
    assert attack.member_fraction == pytest.approx(published.member_fraction)
    divergence = rf_jsd(
        probs["forget"],
        after.forget.labels,
        softmax(before.test.logits.astype(float)),
        before.test.labels,
        NUM_CLASSES,
    )
    assert divergence.value == pytest.approx(published.rf_jsd, rel=1e-5)


class Witness(nn.Module):
    """Notes what it is shown, in train mode and in eval mode."""

    seen: ClassVar[list[tuple[bool, Tensor]]] = []

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        Witness.seen.append((self.training, x.detach().clone()))
        logits: Tensor = self.inner(x)
        return logits


def test_teacher_and_student_answer_about_the_same_augmented_view(
    model: nn.Module, data: UnlearningData
) -> None:
    Witness.seen.clear()
    augmented = replace(data, view=View(flip=True, crop_padding=1))
    run(Witness(model), augmented, replace(PAPER, epochs=2), seed=1)
    shown = [
        (teacher, student)
        for (teacher_trains, teacher), (student_trains, student) in zip(
            Witness.seen, Witness.seen[1:], strict=False
        )
        if student_trains and not teacher_trains
    ]
    assert len(shown) == 4  # 60 + 72 rows in batches of 128, two epochs
    assert all(torch.equal(teacher, student) for teacher, student in shown)
    stored = {tuple(row.tolist()) for row in data.forget.inputs.flatten(1)}
    moved = [row for _, student in shown for row in student.flatten(1)]
    assert sum(tuple(row.tolist()) in stored for row in moved) < len(moved) / 4


def test_an_augmented_run_repeats_bit_by_bit(model: nn.Module, data: UnlearningData) -> None:
    augmented = replace(data, view=View(flip=True, crop_padding=1))
    config = replace(PAPER, epochs=2)
    first, again, other = (run(model, augmented, config, seed)[0] for seed in (5, 5, 6))
    assert largest_difference(first, again) == 0.0
    assert largest_difference(first, other) > 0.0


@pytest.mark.parametrize("settings", [{"deterministic": True}, {"kernels": "reference"}])
def test_re_runs_are_bit_equal(
    model: nn.Module, data: UnlearningData, settings: dict[str, object]
) -> None:
    config = LotusConfig.from_dict(PAPER.to_dict() | settings | {"epochs": 2})
    first, again = (run(model, data, config, seed=9)[0] for _ in range(2))
    assert largest_difference(first, again) == 0.0


def test_fast_kernels_leave_the_weights_in_the_plain_layout(
    model: nn.Module, data: UnlearningData
) -> None:
    student, _ = run(model, data, replace(PAPER, kernels="fast", epochs=1), seed=1)
    assert all(tensor.is_contiguous() for tensor in student.state_dict().values())
