"""The vision transformer computes what PyTorch's own transformer layers do."""

import pytest
import torch
from torch import Tensor, nn

from workers.networks import vit


def test_a_vision_transformer_has_the_parameters_that_its_layers_add_up_to() -> None:
    stem = 3 * 16 * 16 * 768 + 768
    tokens = 768 + 197 * 768
    attention = 4 * (768 * 768 + 768)
    mlp = 768 * 3072 + 3072 + 3072 * 768 + 768
    encoder = 12 * (attention + mlp + 2 * 2 * 768) + 2 * 768
    with torch.device("meta"):
        model = vit.vit_b_16(3, 1000)
    counted = stem + tokens + encoder + 768 * 1000 + 1000
    assert sum(parameter.numel() for parameter in model.parameters()) == counted == 86_567_656
    assert vit.parameter_count(vit.BASE, 196, 768, 1000) == 86_567_656


def test_attention_is_that_of_multihead_attention_with_the_same_weights() -> None:
    torch.manual_seed(0)
    ours = vit.SelfAttention(width=24, heads=4)
    theirs = nn.MultiheadAttention(24, 4, batch_first=True)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(3, 7, 24)
    expected, _ = theirs(x, x, x, need_weights=False)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6)


def test_a_block_is_a_pre_norm_transformer_layer_with_gelu() -> None:
    torch.manual_seed(0)
    ours = vit.EncoderBlock(vit.VitSize(width=24, depth=1, heads=4, mlp=40))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    theirs = nn.TransformerEncoderLayer(
        24,
        4,
        dim_feedforward=40,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=1e-6,
        batch_first=True,
        norm_first=True,
    )
    names = {"ln_1": "norm1", "ln_2": "norm2", "mlp.0": "linear1", "mlp.3": "linear2"}
    names |= {"self_attention.in_proj_": "self_attn.in_proj_"}
    names |= {"self_attention.out_proj": "self_attn.out_proj"}
    renamed = {}
    for key, tensor in ours.state_dict().items():
        [old] = [name for name in names if key.startswith(name)]
        renamed[key.replace(old, names[old])] = tensor
    theirs.load_state_dict(renamed, strict=True)
    x = torch.randn(3, 7, 24)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_every_norm_of_a_vision_transformer_has_torchvision_s_epsilon() -> None:
    with torch.device("meta"):
        model = vit.vit_b_16(3, 1000)
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-6] * 25


def test_patches_come_in_reading_order_after_the_class_token() -> None:
    size = vit.VitSize(width=8, depth=1, heads=2, mlp=8)
    model = vit.VisionTransformer(size, image_size=4, patch_size=2, in_channels=1, num_classes=3)
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.conv_proj.weight.fill_(0.25)  # every feature of a patch is the mean of its pixels
        model.class_token.fill_(-1.0)
        image = torch.tensor([[1.0, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]])
        model(image.reshape(1, 1, 4, 4))
    assert seen[0][0, :, 0].tolist() == [-1.0, 1.0, 2.0, 3.0, 4.0]


def test_the_class_is_read_off_the_class_token() -> None:
    torch.manual_seed(0)
    model = vit.vit_tiny(1, 3, image_size=8, patch_size=4).eval()
    encoded: list[Tensor] = []
    model.encoder.register_forward_hook(lambda _module, _inputs, output: encoded.append(output))
    with torch.no_grad():
        logits = model(torch.randn(2, 1, 8, 8))
        assert encoded[0].shape == (2, 5, 192)
        assert torch.equal(logits, model.heads(encoded[0][:, 0]))


def test_a_vision_transformer_tells_apart_where_a_patch_is() -> None:
    torch.manual_seed(0)
    model = vit.vit_tiny(1, 3, image_size=8, patch_size=4).eval()
    images = torch.zeros(2, 1, 8, 8)
    images[0, :, :4, :4] = images[1, :, 4:, 4:] = 3.0
    with torch.no_grad():
        first, second = model(images)
        model.encoder.pos_embedding.zero_()
        without_positions = model(images)
    assert not torch.allclose(first, second, atol=1e-3)
    torch.testing.assert_close(*without_positions, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("image_size", "width", "said"), [(10, 8, "patches"), (8, 9, "heads")])
def test_sizes_that_do_not_divide_are_refused(image_size: int, width: int, said: str) -> None:
    size = vit.VitSize(width=width, depth=1, heads=2, mlp=8)
    with pytest.raises(ValueError, match=f"{said} .*do not divide"):
        vit.VisionTransformer(
            size, image_size=image_size, patch_size=4, in_channels=1, num_classes=2
        )
