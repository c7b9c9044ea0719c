"""Precision, memory layout and determinism on a CPU."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from workers.unlearning.execution import Execution, NotDeterministic, device_of, lay_out
from workers.unlearning.settings import MethodConfig
from workers.unlearning.weights import restored_on_error


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))


def tabular() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3))


def execution(model: nn.Module, **settings: object) -> Execution:
    return Execution.of(MethodConfig.from_dict(settings), model)


def test_auto_on_a_cpu_is_the_reference_in_float32() -> None:
    found = execution(convolutional())
    assert not (found.bfloat16 or found.channels_last or found.fused or found.deterministic)


def test_fast_kernels_lay_out_images_channels_last_and_fuse_the_optimizer() -> None:
    assert execution(convolutional(), kernels="fast").channels_last
    assert execution(convolutional(), kernels="fast").fused
    assert not execution(tabular(), kernels="fast").channels_last  # no image, no channels
    assert execution(tabular(), kernels="fast").fused


def test_a_deterministic_run_takes_the_reference_whatever_was_asked() -> None:
    found = execution(convolutional(), kernels="fast", deterministic=True)
    assert found.deterministic and not (found.channels_last or found.fused or found.bfloat16)


def test_the_record_says_what_auto_came_to() -> None:
    assert execution(convolutional()).describe() == {
        "device": "cpu",
        "precision": "float32",
        "channels_last": False,
        "tf32_convolutions": False,
        "fused_optimizer": False,
        "deterministic": False,
        "threads": torch.get_num_threads(),
    }
    assert execution(tabular(), precision="bfloat16").describe()["precision"] == "bfloat16"


def test_bfloat16_is_for_activations_and_logits_come_back_in_float32() -> None:
    model, x = convolutional(), torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    exact = execution(model).forward(model, x)
    rounded = execution(model, precision="bfloat16").forward(model, x)
    assert torch.equal(exact, model(x))
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.05)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_batches_come_in_the_layout_of_the_model() -> None:
    images, rows = torch.randn(3, 2, 4, 4), torch.randn(3, 4)
    fast = execution(convolutional(), kernels="fast")
    placed = fast.place(images)
    assert placed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(placed, images)
    assert torch.equal(fast.place(rows), rows)
    assert execution(convolutional()).place(images).is_contiguous()


def test_a_layout_changes_no_value_and_is_taken_back() -> None:
    model = convolutional()
    before = model[0].weight.detach().clone()
    execution(model, kernels="fast").lay_out(model)
    assert not model[0].weight.is_contiguous()
    assert torch.equal(model[0].weight, before)
    lay_out(model, torch.contiguous_format)
    assert model[0].weight.is_contiguous()


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_ends_in_the_plain_layout_and_in_eval_mode(fails: bool) -> None:
    model = convolutional().train()

    def run() -> None:
        with restored_on_error(model):
            execution(model, kernels="fast").lay_out(model)
            if fails:
                raise RuntimeError("in the middle")

    if fails:
        with pytest.raises(RuntimeError, match="in the middle"):
            run()
    else:
        run()
    assert model[0].weight.is_contiguous()
    assert not model.training


@pytest.fixture
def switches() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(before, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.parametrize(("enabled", "warn_only"), [(False, False), (True, True), (True, False)])
def test_global_switches_are_set_for_a_pass_and_then_as_they_were(
    switches: None, enabled: bool, warn_only: bool
) -> None:
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    torch.backends.cudnn.benchmark = True
    switched = execution(tabular(), deterministic=True).settings()
    with pytest.raises(RuntimeError, match="in a pass"), switched:
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
        raise RuntimeError("in a pass")
    assert torch.are_deterministic_algorithms_enabled() is enabled
    assert torch.is_deterministic_algorithms_warn_only_enabled() is warn_only
    assert torch.backends.cudnn.benchmark


def test_without_the_switch_nothing_global_is_touched(switches: None) -> None:
    torch.use_deterministic_algorithms(False)
    with execution(tabular()).settings():
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_model_without_parameters_is_on_the_cpu() -> None:
    assert device_of(nn.Flatten()) == torch.device("cpu")


def test_a_deterministic_run_on_a_gpu_is_refused_if_cublas_was_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "workers.unlearning.execution.device_of", lambda model: torch.device("cuda")
    )
    config = MethodConfig(deterministic=True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with pytest.raises(NotDeterministic, match="CUBLAS_WORKSPACE_CONFIG=:4096:8"):
        Execution.of(config, nn.Linear(1, 1))
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert Execution.of(config, nn.Linear(1, 1)).deterministic
