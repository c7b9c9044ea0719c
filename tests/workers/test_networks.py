"""The networks by themselves: sizes, names and arithmetic that published weights rely on."""

import ast
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from workers.networks import paper_resnet, resnet, small, vit

NETWORKS = Path(small.__file__).parent
IMAGENET: dict[str, Callable[[], nn.Module]] = {
    "resnet18": partial(resnet.resnet18, 3, 1000),
    "resnet50": partial(resnet.resnet50, 3, 1000),
    "vit_b_16": partial(vit.vit_b_16, 3, 1000),
}


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The network without memory: shapes only."""
    with torch.device("meta"):
        return build()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.py")), ids=lambda path: path.name)
def test_a_network_needs_pytorch_and_nothing_else(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "torch"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in allowed


def test_the_small_resnet_has_the_parameters_that_its_layers_add_up_to() -> None:
    stem = 9 * 16 + 32
    first = 2 * (9 * 16 * 16 + 32)
    second = 9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 3 * 64
    third = 9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 3 * 128
    head = 64 * 10 + 10
    assert parameters(small.SmallResNet(1, 10)) == stem + first + second + third + head == 77_754


def test_the_small_cnn_has_the_parameters_that_its_layers_add_up_to() -> None:
    convolutions = (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 128 + 128)
    assert parameters(small.SmallCnn(1, 10)) == convolutions + 128 * 10 + 10 == 93_962


def test_the_paper_s_resnet18_has_the_parameters_that_its_layers_add_up_to() -> None:
    stem = 27 * 64 + 128
    first = 4 * (9 * 64 * 64 + 128) + 2 * 64 * 64
    second = 9 * 64 * 128 + 3 * 9 * 128 * 128 + 4 * 256 + 64 * 128 + 128 * 128
    third = 9 * 128 * 256 + 3 * 9 * 256 * 256 + 4 * 512 + 128 * 256 + 256 * 256
    fourth = 9 * 256 * 512 + 3 * 9 * 512 * 512 + 4 * 1024 + 256 * 512 + 512 * 512
    model = on_meta(lambda: paper_resnet.PaperResNet18(3, 10))
    counted = stem + first + second + third + fourth + 512 * 10 + 10
    assert parameters(model) == counted == 11_524_426
    assert parameters(on_meta(lambda: paper_resnet.PaperResNet18(1, 100))) == (
        11_517_568 + 576 * 1 + 513 * 100
    )


@pytest.mark.parametrize(
    ("build", "published"),
    [
        (IMAGENET["resnet18"], 11_689_512),
        (IMAGENET["resnet50"], 25_557_032),
        (IMAGENET["vit_b_16"], 86_567_656),
        (partial(vit.vit_b_16, 3, 1000, 384), 86_859_496),
        (partial(vit.vit_tiny, 3, 1000, 224, 16), 5_717_416),
    ],
    ids=["resnet18", "resnet50", "vit_b_16", "vit_b_16 at 384 pixels", "vit_tiny"],
)
def test_a_published_network_has_the_published_number_of_parameters(
    build: Callable[[], nn.Module], published: int
) -> None:
    assert parameters(on_meta(build)) == published


@pytest.mark.parametrize(
    ("build", "pixels", "giga_multiplications"),
    [
        # torchvision's figures; with the stride on the first 1x1 ResNet50 would have 3.8.
        (IMAGENET["resnet18"], 224, 1.814),
        (IMAGENET["resnet50"], 224, 4.089),
        (IMAGENET["vit_b_16"], 224, 17.564),
        # By hand: 1,769,472 for the stem, 39,845,888 and 3 x 34,603,008 for the stages, 5,120.
        (partial(paper_resnet.PaperResNet18, 3, 10), 32, 0.145429504),
    ],
    ids=["resnet18", "resnet50", "vit_b_16", "the paper's resnet18"],
)
def test_a_published_network_does_the_published_number_of_multiplications(
    build: Callable[[], nn.Module], pixels: int, giga_multiplications: float
) -> None:
    model = on_meta(build).eval()
    images = torch.empty(1, 3, pixels, pixels, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga_multiplications, abs=6e-4)


TORCHVISION = {
    "resnet18": {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_mean": (64,),
        "bn1.num_batches_tracked": (),
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_var": (128,),
        "layer4.1.bn2.bias": (512,),
        "fc.weight": (1000, 512),
        "fc.bias": (1000,),
    },
    "resnet50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.conv2.weight": (64, 64, 3, 3),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.2.conv1.weight": (64, 256, 1, 1),
        "layer2.3.bn3.weight": (512,),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "fc.weight": (1000, 2048),
    },
    "vit_b_16": {
        "class_token": (1, 1, 768),
        "conv_proj.weight": (768, 3, 16, 16),
        "conv_proj.bias": (768,),
        "encoder.pos_embedding": (1, 197, 768),
        "encoder.layers.encoder_layer_0.ln_1.weight": (768,),
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight": (2304, 768),
        "encoder.layers.encoder_layer_0.self_attention.in_proj_bias": (2304,),
        "encoder.layers.encoder_layer_0.self_attention.out_proj.weight": (768, 768),
        "encoder.layers.encoder_layer_11.ln_2.bias": (768,),
        "encoder.layers.encoder_layer_11.mlp.0.weight": (3072, 768),
        "encoder.layers.encoder_layer_11.mlp.3.weight": (768, 3072),
        "encoder.ln.weight": (768,),
        "heads.head.weight": (1000, 768),
        "heads.head.bias": (1000,),
    },
}


@pytest.mark.parametrize(
    ("name", "tensors", "absent"),
    [
        ("resnet18", 122, "layer1.0.downsample.0.weight"),
        ("resnet50", 320, "layer1.1.downsample.0.weight"),
        ("vit_b_16", 152, "encoder.layers.encoder_layer_12.ln_1.weight"),
    ],
)
def test_names_and_shapes_are_those_of_torchvision(name: str, tensors: int, absent: str) -> None:
    state = on_meta(IMAGENET[name]).state_dict()
    decisive = TORCHVISION[name]
    assert {key: tuple(state[key].shape) for key in decisive} == decisive
    assert len(state) == tensors
    assert absent not in state


def test_the_paper_s_resnet18_projects_the_shortcut_of_every_block() -> None:
    state = on_meta(lambda: paper_resnet.PaperResNet18(3, 10)).state_dict()
    shortcuts = {key: tuple(tensor.shape) for key, tensor in state.items() if "identity" in key}
    assert shortcuts == {
        "layer1.0.identity_conv.weight": (64, 64, 1, 1),
        "layer1.1.identity_conv.weight": (64, 64, 1, 1),
        "layer2.0.identity_conv.weight": (128, 64, 1, 1),
        "layer2.1.identity_conv.weight": (128, 128, 1, 1),
        "layer3.0.identity_conv.weight": (256, 128, 1, 1),
        "layer3.1.identity_conv.weight": (256, 256, 1, 1),
        "layer4.0.identity_conv.weight": (512, 256, 1, 1),
        "layer4.1.identity_conv.weight": (512, 512, 1, 1),
    }


@pytest.mark.parametrize("block", [resnet.BasicBlock(8, 8, 1), resnet.Bottleneck(8, 2, 1)])
def test_a_residual_block_without_its_branch_is_a_relu(block: nn.Module) -> None:
    nn.init.zeros_(list(block.children())[-1].weight)  # type: ignore[arg-type]
    x = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block.eval()(x), x.relu())


def test_a_block_of_the_paper_s_resnet18_without_its_branch_is_a_plain_projection() -> None:
    torch.manual_seed(0)
    block = paper_resnet.ProjectedBlock(4, 6, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 5, 5)
    every_second = x[:, :, ::2, ::2]
    weight = block.identity_conv.weight[:, :, 0, 0]
    projected = torch.einsum("oc,nchw->nohw", weight, every_second)
    torch.testing.assert_close(block(x), projected.relu())


def test_convolutions_of_resnet18_start_with_the_variance_two_over_fan_out() -> None:
    torch.manual_seed(0)
    weight = resnet.resnet18(3, 10).layer4[0].conv1.weight  # from 256 channels to 512
    assert isinstance(weight, Tensor)
    assert float(weight.detach().std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


def test_the_small_resnet_draws_its_first_weights_layer_after_layer() -> None:
    """Whoever trained with a seed gets the same network again."""
    torch.manual_seed(5)
    drawn = [nn.Conv2d(1, 16, 3, bias=False)]
    for channels_in, channels_out in [(16, 16), (16, 32), (32, 64)]:
        drawn += [
            nn.Conv2d(channels_in, channels_out, 3, bias=False),
            nn.Conv2d(channels_out, channels_out, 3, bias=False),
        ]
        if channels_in != channels_out:
            drawn.append(nn.Conv2d(channels_in, channels_out, 1, bias=False))
    head = nn.Linear(64, 10)
    torch.manual_seed(5)
    model = small.SmallResNet(1, 10)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == len(drawn) == 9
    for ours, theirs in zip(convolutions, drawn, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(model.head.bias, head.bias)
