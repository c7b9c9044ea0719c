"""A network that has learned nothing."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from workers.networks.paper_resnet import PaperResNet18
from workers.networks.resnet import resnet18
from workers.networks.small import SmallResNet, mlp
from workers.networks.vit import VisionTransformer, VitSize, vit_tiny
from workers.unlearning.execution import lay_out
from workers.unlearning.initialisation import NotReinitialised, reinitialise, reinitialised


def vit() -> nn.Module:
    size = VitSize(width=16, depth=2, heads=2, mlp=32)
    return VisionTransformer(size, image_size=8, patch_size=4, in_channels=1, num_classes=3)


NETWORKS = {
    "mlp": (lambda: mlp(6, (16,), 3), (6,)),
    "resnet": (lambda: SmallResNet(1, 3), (1, 8, 8)),
    "vit": (vit, (1, 8, 8)),
    "encoder": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(32, 3)
        ),
        (4, 8),
    ),
}


def trained(name: str) -> nn.Module:
    """A network that every tensor of was moved far from where it began."""
    torch.manual_seed(0)
    build, _ = NETWORKS[name]
    model = build()
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 100.0)
            else:
                value.fill_(1234)
    return model


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_the_old_values_is_left(name: str) -> None:
    model = trained(name)
    fresh = reinitialised(model, seeded())
    for key, value in fresh.state_dict().items():
        assert bool((value.abs() < 10.0).all()), key
    answers = fresh.eval()(torch.randn(5, *NETWORKS[name][1]))
    assert bool(torch.isfinite(answers).all())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_original_and_the_global_random_state_are_left_alone(name: str) -> None:
    model = trained(name)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    reinitialised(model, seeded())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_alone_decides_the_network(name: str) -> None:
    model = trained(name)
    torch.manual_seed(1)
    first = reinitialised(model, seeded()).state_dict()
    torch.manual_seed(2)
    again = reinitialised(model, seeded()).state_dict()
    other = reinitialised(model, seeded(1)).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_the_order_in_memory_changes_no_value() -> None:
    class Filters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filters = nn.Parameter(torch.ones(8, 4, 3, 3))

    plain = reinitialised(Filters(), seeded())
    other = Filters()
    lay_out(other, torch.channels_last)
    moved = reinitialised(other, seeded())
    assert torch.equal(plain.get_parameter("filters"), moved.get_parameter("filters"))


def test_layers_begin_as_pytorch_makes_them() -> None:
    fresh = reinitialised(trained("resnet"), seeded())
    assert isinstance(fresh, SmallResNet)
    assert torch.equal(fresh.bn.weight, torch.ones(16))
    assert torch.equal(fresh.bn.bias, torch.zeros(16))
    assert fresh.bn.running_mean is not None and fresh.bn.running_var is not None
    assert torch.equal(fresh.bn.running_mean, torch.zeros(16))
    assert torch.equal(fresh.bn.running_var, torch.ones(16))
    assert fresh.bn.num_batches_tracked is not None
    assert int(fresh.bn.num_batches_tracked) == 0
    # nn.Linear: uniform within 1 / sqrt(64)
    bound = 1 / math.sqrt(64)
    assert 0.9 * bound < float(fresh.head.weight.detach().abs().max()) <= bound


def test_class_tokens_and_positions_are_drawn_small_and_loose_biases_are_zero() -> None:
    fresh = reinitialised(trained("vit"), seeded())
    assert isinstance(fresh, VisionTransformer)
    loose = torch.cat([fresh.class_token.flatten(), fresh.encoder.pos_embedding.flatten()])
    assert float(loose.detach().std()) == pytest.approx(0.02, rel=0.3)
    for name, value in fresh.named_parameters():
        if name.endswith("in_proj_bias"):
            assert torch.equal(value, torch.zeros_like(value))


def test_parents_come_after_their_children_as_when_they_are_made() -> None:
    # nn.MultiheadAttention sets the bias of its output projection to 0, which nn.Linear draws.
    fresh = reinitialised(trained("encoder"), seeded())
    biases = [value for name, value in fresh.named_parameters() if name.endswith("out_proj.bias")]
    assert len(biases) == 1 and torch.equal(biases[0], torch.zeros(8))


def test_in_place_gives_the_same_network_with_the_same_parameter_objects() -> None:
    model = trained("resnet")
    expected = reinitialised(model, seeded()).state_dict()
    parameters = list(model.parameters())
    reinitialise(model, seeded())
    assert all(torch.equal(expected[key], value) for key, value in model.state_dict().items())
    pairs = zip(parameters, model.parameters(), strict=True)
    assert all(before is after for before, after in pairs)


class Forgetful(nn.Linear):
    """Its reset leaves out the scale that it added."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, input: Tensor) -> Tensor:
        return self.scale * super().forward(input)


class OwnStatistics(nn.Module):
    """Keeps a running mean that nobody resets, beside a constant that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(4))
        self.register_buffer("table", torch.full((4,), 7.0), persistent=False)
        self.head = nn.Linear(4, 3)


def test_a_tensor_that_would_keep_what_it_learned_is_named_and_nothing_is_changed() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Forgetful())
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(NotReinitialised, match=r"1 tensors .*: 1\.scale"):
        reinitialise(model, seeded())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    with pytest.raises(NotReinitialised, match="average"):
        reinitialised(OwnStatistics(), seeded())


def test_a_buffer_that_is_not_saved_with_the_weights_is_a_constant() -> None:
    class Constant(OwnStatistics):
        def reset_parameters(self) -> None:
            self.average: Tensor
            self.average.zero_()

    fresh = reinitialised(Constant(), seeded())
    assert fresh.get_buffer("table").tolist() == [7.0] * 4


def test_mode_and_frozen_parameters_are_kept() -> None:
    model = mlp(6, (16,), 3).eval()
    first = next(model.parameters()).requires_grad_(False)
    fresh = reinitialised(model, seeded())
    assert not fresh.training
    assert [p.requires_grad for p in fresh.parameters()] == [False, True, True, True]
    assert not torch.equal(next(fresh.parameters()), first)


@pytest.mark.parametrize(
    "build",
    [
        lambda: resnet18(3, 10),
        lambda: vit_tiny(3, 10, image_size=32, patch_size=8),
        lambda: PaperResNet18(3, 10, width=8),
    ],
    ids=["resnet18", "vit-tiny", "resnet18-lotus"],
)
def test_a_registered_architecture_begins_again_as_its_constructor_made_it(
    build: Callable[[], nn.Module],
) -> None:
    """The same spread in every tensor: within seven standard errors, sd / sqrt(2 n)."""
    torch.manual_seed(1)
    new, trained = build(), build()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(3.0).add_(1.0)
    again = reinitialised(trained, torch.Generator().manual_seed(2))
    for (name, fresh), reset in zip(new.named_parameters(), again.parameters(), strict=True):
        if fresh.numel() < 100 or float(fresh.detach().std()) == 0.0:
            assert float((fresh - reset).detach().abs().max()) < 1.0, name
            continue
        ratio = float(reset.detach().std() / fresh.detach().std())
        assert abs(ratio - 1.0) < 5.0 / math.sqrt(fresh.numel()), name
        assert not torch.equal(fresh, reset), name
