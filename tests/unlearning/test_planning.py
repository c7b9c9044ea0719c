"""Settings by size: steps on small sets, the paper's table on large ones."""

import pytest

from workers.unlearning.config import LotusConfig, Mode
from workers.unlearning.planning import paper_settings, plan


def test_a_small_set_is_planned_in_steps_and_may_stop_itself() -> None:
    config = plan(100, 400, 650, kind="convolutional")
    assert config.mode is Mode.GUIDED and config.steer and config.class_matched
    assert (config.learning_rate, config.alpha, config.batch_size) == (3e-4, 6.0, 128)
    assert config.retain_fraction == 1.0
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


@pytest.mark.parametrize("n_forget", [1, 19, 20, 3_000])
@pytest.mark.parametrize("n_retain", [1, 70, 12_000])
def test_every_plan_is_a_valid_config_that_survives_json(n_forget: int, n_retain: int) -> None:
    config = plan(n_forget, n_retain, 500, kind="convolutional")
    assert LotusConfig.from_dict(config.to_dict()) == config
