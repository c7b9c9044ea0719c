"""Batches, steps and epochs, which every method shares."""

import copy
import math
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workers.unlearning.data import LabelledSet
from workers.unlearning.errors import NonFiniteLoss, TooFewRows
from workers.unlearning.settings import MethodConfig
from workers.unlearning.training import Training, supervised_epoch
from workers.unlearning.views import View


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))


def training_of(
    model: nn.Module,
    seed: int = 0,
    view: View | None = None,
    config: MethodConfig | None = None,
) -> Training:
    generator = torch.Generator().manual_seed(seed)
    return Training.of(model, view or View(), config or MethodConfig(), generator)


def rows(count: int) -> LabelledSet:
    generator = torch.Generator().manual_seed(3)
    return LabelledSet(
        torch.randn(count, 3, generator=generator),
        torch.randint(2, (count,), generator=generator),
    )


def sgd(model: nn.Module, rate: float = 0.5) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=rate)


def sizes(batches: list[Tensor]) -> list[int]:
    return [len(batch) for batch in batches]


def test_batches_hold_every_row_once_in_an_order_that_the_seed_decides() -> None:
    first = training_of(plain()).batches(10, 4)
    again = training_of(plain()).batches(10, 4)
    other = training_of(plain(), seed=1).batches(10, 4)
    assert sizes(first) == [4, 4, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(10))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))


@pytest.mark.parametrize(
    ("count", "with_batch_norm", "without"),
    [(9, [4, 5], [4, 4, 1]), (5, [5], [4, 1]), (10, [4, 4, 2], [4, 4, 2]), (1, [1], [1])],
)
def test_a_last_single_row_joins_the_batch_before_it_for_batch_norm_only(
    count: int, with_batch_norm: list[int], without: list[int]
) -> None:
    joined = training_of(normed()).batches(count, 4)
    assert sizes(joined) == with_batch_norm
    assert sorted(torch.cat(joined).tolist()) == list(range(count))
    assert sizes(training_of(plain()).batches(count, 4)) == without


def test_endless_batches_read_every_row_in_every_pass_each_in_an_order_of_its_own() -> None:
    six = list(islice(training_of(plain()).endless_batches(7, 3), 6))
    passes = [torch.cat(six[:3]), torch.cat(six[3:])]
    assert all(sorted(one.tolist()) == list(range(7)) for one in passes)
    assert not torch.equal(*passes)


def test_a_subset_is_drawn_without_replacement_and_never_empty() -> None:
    samples = LabelledSet(torch.arange(20.0).reshape(20, 1), torch.arange(20))
    drawn = training_of(plain()).subset(samples, 0.3)
    assert len(drawn) == 6 and len(set(drawn.labels.tolist())) == 6
    assert torch.equal(drawn.inputs[:, 0], drawn.labels.float())  # rows stay together
    assert drawn.labels.tolist() != sorted(drawn.labels.tolist())
    assert len(training_of(plain()).subset(samples, 1e-6)) == 1
    assert len(training_of(plain()).subset(samples, 1.0)) == 20


def test_samples_come_as_the_view_shows_them_to_training() -> None:
    pictures = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    samples = LabelledSet(pictures, torch.arange(6))
    view = View(mean=(0.5,), std=(0.25,), flip=True, crop_padding=1)
    chosen = torch.tensor([4, 0])
    inputs, labels = training_of(plain(), view=view).sample(samples, chosen)
    expected = view.training(pictures[chosen], torch.Generator().manual_seed(0))
    assert torch.equal(inputs, expected)
    assert labels.tolist() == [4, 0]


def test_one_step_is_the_one_computed_by_hand() -> None:
    # Weight 2, inputs 1 and 3, loss (w x)^2: mean gradient 2 w (1 + 9) / 2 = 20; 2 - .05 * 20 = 1.
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    training = training_of(model)
    x = torch.tensor([[1.0], [3.0]])
    training.step(sgd(model, 0.05), 2, lambda part: model(x[part]).square().mean())
    assert model.weight.item() == pytest.approx(1.0)
    assert training.steps == 1
    assert training.mean_loss() == pytest.approx((4 + 36) / 2)


def test_a_pass_of_cross_entropy_is_the_literal_loop() -> None:
    samples = rows(10)
    model, literal = plain(), plain()
    training = training_of(model)
    with training.epoch(1):
        supervised_epoch(training, sgd(model), samples, 4)
    optimizer = sgd(literal)
    losses = []
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    for batch in torch.split(order, 4):
        optimizer.zero_grad()
        loss = F.cross_entropy(literal(samples.inputs[batch]), samples.labels[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item() * len(batch))
    for found, expected in zip(model.parameters(), literal.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert training.steps == 3
    assert training.mean_loss() == pytest.approx(sum(losses) / 10, rel=1e-6)


class SmallMemory(nn.Module):
    """Runs out of memory above so many rows, and notes how many it was given."""

    def __init__(self, inner: nn.Module, fits: int) -> None:
        super().__init__()
        self.inner = inner
        self.fits = fits
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.fits:
            raise torch.OutOfMemoryError(f"{self.fits} rows fit")
        logits: Tensor = self.inner(x)
        return logits


def one_step(
    model: nn.Module, samples: LabelledSet, config: MethodConfig | None = None
) -> Training:
    training = training_of(model, config=config)
    training.step(
        sgd(model),
        len(samples),
        lambda part: F.cross_entropy(training.logits(samples.inputs[part]), samples.labels[part]),
    )
    return training


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_gives_the_same_step() -> None:
    samples = rows(21)
    whole, parts = plain(), SmallMemory(plain(), fits=6)
    exact, halved = one_step(whole, samples), one_step(parts, samples)
    for found, expected in zip(parts.inner.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)
    # At most 10 rows make three parts of 7, the first of which fails; at most 5 make five parts.
    assert parts.seen == [21, 7, 4, 4, 5, 4, 4]
    assert halved.steps == 1
    assert halved.mean_loss() == pytest.approx(exact.mean_loss(), rel=1e-6)


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    samples, model = rows(8), SmallMemory(plain(), fits=4)
    training = one_step(model, samples)
    model.seen.clear()
    training.step(sgd(model), 8, lambda part: model(samples.inputs[part]).square().mean())
    assert model.seen == [4, 4]


@pytest.mark.parametrize(("parts", "seen"), [(1, [21]), (4, [5, 5, 6, 5]), (1_024, [1] * 21)])
def test_a_batch_is_computed_in_as_many_parts_as_asked_and_gives_the_same_step(
    parts: int, seen: list[int]
) -> None:
    samples = rows(21)
    whole, apart = plain(), SmallMemory(plain(), fits=21)
    one_step(whole, samples)
    one_step(apart, samples, MethodConfig(accumulate=parts))
    assert sorted(apart.seen) == sorted(seen)
    for found, expected in zip(apart.inner.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_parts_that_still_do_not_fit_are_halved_further() -> None:
    model = SmallMemory(plain(), fits=3)
    one_step(model, rows(20), MethodConfig(accumulate=2))
    assert model.seen[0] == 10 and max(model.seen[-7:]) <= 3


@pytest.mark.parametrize("build", [plain, normed])
def test_memory_for_less_than_the_smallest_batch_is_an_error(build: type[nn.Module]) -> None:
    model = SmallMemory(build(), fits=0)
    with pytest.raises(torch.OutOfMemoryError):
        one_step(model, rows(8))
    smallest = 2 if build is normed else 1
    assert min(model.seen) == smallest


def test_no_part_of_a_halved_batch_is_a_single_row_where_batch_norm_would_need_two() -> None:
    model = SmallMemory(normed().train(), fits=4)
    one_step(model, rows(9))  # 4, 4 and 1 would fail
    assert model.seen[-3:] == [3, 3, 3]


def test_gradients_leave_weights_and_gradients_of_the_model_as_they_were() -> None:
    samples = rows(9)
    model = SmallMemory(plain(), fits=4)
    before = copy.deepcopy(model.state_dict())
    training = training_of(model)
    loss, found = training.gradients(
        9, lambda part: F.cross_entropy(model(samples.inputs[part]), samples.labels[part])
    )
    twin = copy.deepcopy(model.inner)
    expected = F.cross_entropy(twin(samples.inputs), samples.labels)
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-6)
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(found[f"inner.{name}"], parameter.grad, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert training.steps == 0


def test_an_epoch_trains_inside_and_leaves_eval_mode_behind() -> None:
    model = normed().eval()
    training = training_of(model)
    with training.epoch(1):
        assert model.training
        supervised_epoch(training, sgd(model), rows(6), 3)
    assert not any(module.training for module in model.modules())


def test_dropout_follows_seed_and_epoch_and_the_global_random_state_is_left_alone() -> None:
    def dropped(seed: int, number: int) -> Tensor:
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(40, 1))
        training = training_of(model, seed)
        with training.epoch(number):
            mask: Tensor = model[0](torch.ones(40))
            training.step(sgd(model, 0.0), 1, lambda _: model[1](mask).square().mean())
        return mask

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = dropped(0, 1)
    assert not torch.equal(torch.get_rng_state(), state)  # the layer's own initial weights
    torch.manual_seed(2)
    assert torch.equal(dropped(0, 1), first)
    assert not torch.equal(dropped(0, 2), first)
    assert not torch.equal(dropped(5, 1), first)
    model = plain()
    training = training_of(model)
    state = torch.get_rng_state()
    with training.epoch(1):
        supervised_epoch(training, sgd(model), rows(4), 2)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows_and_its_own_only() -> None:
    model = plain()
    training = training_of(model)
    frozen = sgd(model, 0.0)
    weight = next(model.parameters())

    def constant(value: float) -> Tensor:
        return 0.0 * weight.sum() + value

    assert math.isnan(training.mean_loss())
    with training.epoch(1):
        training.step(frozen, 3, lambda _: constant(1.0))
        training.step(frozen, 1, lambda _: constant(5.0))
    assert training.mean_loss() == pytest.approx(2.0)
    with training.epoch(2):
        training.step(frozen, 2, lambda _: constant(7.0))
    assert training.mean_loss() == pytest.approx(7.0)
    assert training.steps == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_epoch_with_its_number(value: float) -> None:
    model = plain()
    training = training_of(model)
    weight = next(model.parameters())
    with pytest.raises(NonFiniteLoss, match="epoch 4, step 2"), training.epoch(4):
        training.step(sgd(model), 2, lambda _: weight.sum())
        training.step(sgd(model), 2, lambda _: weight.sum() * value)


def test_no_part_of_a_halved_batch_is_too_small_for_batch_norm() -> None:
    class Fits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = normed()

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("no memory")
            logits: Tensor = self.inner(x)
            return logits

    model = Fits()
    training, samples = training_of(model), rows(5)
    with training.epoch(1):
        supervised_epoch(training, sgd(model), samples, 5)
    assert training.steps == 1
    assert training.largest_part == 2


def test_a_single_row_is_no_batch_for_batch_norm() -> None:
    model = normed()
    training = training_of(model)
    refused = pytest.raises(TooFewRows, match="a batch of 1 rows, where BatchNorm needs 2")
    with refused, training.epoch(1):
        supervised_epoch(training, sgd(model), rows(1), 4)
