"""Settings by size: steps on small sets, the paper's table on large ones."""

import pytest
import torch

from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.data import LabelledSet, UnlearningData
from workers.unlearning.planning import InvalidSizes, paper_settings, plan
from workers.unlearning.steering import plan_for


def test_a_small_set_is_planned_in_steps_and_may_stop_itself() -> None:
    config = plan(100, 400, 650, kind="convolutional")
    assert config.mode is Mode.GUIDED and config.steer and config.class_matched
    assert (config.learning_rate, config.alpha, config.batch_size) == (3e-4, 6.0, 128)
    assert config.retain_fraction == 1.0 and config.bn_recalibrate
    assert config.epochs == 20  # 4 steps each: at most 80


def test_without_enough_validation_samples_the_number_of_steps_is_fixed() -> None:
    config = plan(100, 400, 149, kind="convolutional")
    assert not config.steer
    assert config.alpha == 4.0
    assert config.epochs == 10  # 40 steps


def test_a_few_samples_of_a_larger_set_train_beside_a_part_of_the_retain_set() -> None:
    config = plan(24, 2976, 1000, kind="dense")
    assert config.retain_fraction * 2976 == pytest.approx(1000)  # 1,024 rows, 8 steps an epoch
    assert config.epochs == 10


@pytest.mark.parametrize("n_forget", [5, 10, 100, 500])
def test_many_requests_together_are_planned_as_many_steps_as_one(n_forget: int) -> None:
    config = plan(n_forget, 4_000 - n_forget, 1_000, kind="convolutional")
    rows = n_forget + config.retain_fraction * (4_000 - n_forget)
    assert rows == pytest.approx(1_024)
    assert config.epochs == 10  # 80 steps at most


def test_at_least_as_many_retain_as_forget_samples_take_part() -> None:
    config = plan(1_500, 2_500, 3_000, kind="convolutional")
    assert config.retain_fraction * 2_500 == pytest.approx(1_500)


def test_the_settings_of_the_paper_are_its_table() -> None:
    table = [
        ("convolutional", 2.0, 1e-4, 10, 128),
        ("dense", 2.0, 1e-4, 10, 128),
        ("transformer", 2.0, 1e-6, 3, 32),
    ]
    for kind, alpha, learning_rate, epochs, batch_size in table:
        config = paper_settings(kind)  # type: ignore[arg-type]
        found = (config.alpha, config.learning_rate, config.epochs, config.batch_size)
        assert found == (alpha, learning_rate, epochs, batch_size)
        assert (config.retain_fraction, config.weight_decay) == (0.3, 5e-4)
        assert config.betas == (0.9, 0.999)


def test_a_large_set_gets_the_settings_of_the_paper() -> None:
    config = plan(5_000, 45_000, 5_000, kind="convolutional")
    assert (config.learning_rate, config.alpha, config.epochs) == (1e-4, 2.0, 10)
    assert (config.batch_size, config.retain_fraction) == (128, 0.3)


def test_transformers_get_the_small_learning_rate_of_the_paper() -> None:
    config = plan(500, 4_500, 5_000, kind="transformer")
    assert (config.learning_rate, config.epochs, config.batch_size) == (1e-6, 3, 32)


def test_a_whole_class_gets_the_alpha_of_the_paper() -> None:
    assert plan(50, 450, 600, kind="convolutional", whole_classes=True).alpha == 32.0


def test_paper_mode_is_exact_so_it_has_neither_smoothing_nor_class_matching() -> None:
    config = paper_settings("convolutional")
    assert config.mode is Mode.PAPER
    assert not config.class_matched and config.smoothing == 0.0


@pytest.mark.parametrize("n_forget", [5, 19, 20, 3_000])
@pytest.mark.parametrize("n_retain", [1, 70, 12_000])
def test_every_plan_is_a_valid_config_that_survives_json(n_forget: int, n_retain: int) -> None:
    config = plan(n_forget, n_retain, 500, kind="convolutional")
    assert LotusConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("sizes", [(0, 10, 5), (10, 0, 5), (-1, 10, 5), (10, 10, -1)])
def test_a_plan_for_no_samples_is_refused_with_the_counts(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidSizes, match=f"{sizes[0]} forget, {sizes[1]} retain"):
        plan(*sizes, kind="dense")


def test_the_papers_settings_for_a_whole_class_have_its_alpha() -> None:
    assert paper_settings("convolutional", whole_classes=True).alpha == 32.0
    assert paper_settings("transformer").alpha == 2.0


@pytest.mark.parametrize(("n_forget", "steered"), [(4, False), (5, True)])
def test_a_handful_of_samples_is_unlearned_in_a_fixed_number_of_steps(
    n_forget: int, steered: bool
) -> None:
    assert plan(n_forget, 500, 600, kind="convolutional").steer is steered


def test_a_plan_knows_when_validation_lacks_the_forget_sets_classes() -> None:
    def rows(*labels: int) -> LabelledSet:
        return LabelledSet(torch.zeros(len(labels), 2), torch.tensor(labels))

    forget, retain = rows(*[0] * 6, *[1] * 4), rows(*[0, 1, 2] * 20)
    seen, unseen = rows(*[0, 1, 2] * 50), rows(*[1, 2] * 60)
    assert plan_for(UnlearningData(forget, retain, seen, 3), "dense").steer is True
    assert plan_for(UnlearningData(forget, retain, unseen, 3), "dense").steer is False
