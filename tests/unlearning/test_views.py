"""Stored inputs as a network sees them."""

import pytest
import torch
from torch import Tensor

from workers.unlearning.errors import ShapeMismatch
from workers.unlearning.views import InvalidView, View

PLAIN = View(mean=(0.5, 0.25), std=(0.5, 0.125))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 40) -> Tensor:
    return torch.randint(0, 256, (count, 2, 5, 4), dtype=torch.uint8, generator=seeded(9))


def test_pixels_are_scaled_to_one_then_shifted_and_divided_by_channel() -> None:
    image = torch.tensor([[[[255]], [[51]]]], dtype=torch.uint8)  # 1 and .2
    seen = PLAIN.plain(image)
    assert seen.dtype == torch.float32
    assert seen.flatten().tolist() == pytest.approx([1.0, -0.4])
    assert View().plain(image).flatten().tolist() == pytest.approx([1.0, 0.2])


def test_features_have_their_means_along_the_second_axis() -> None:
    seen = PLAIN.plain(torch.tensor([[1.0, 0.5], [0.0, 0.25]]))
    assert seen.tolist() == [[1.0, 2.0], [-1.0, 0.0]]


def test_bytes_and_floats_of_the_same_image_look_the_same() -> None:
    stored = pictures()
    floats = stored.float() / 255
    view = View(mean=PLAIN.mean, std=PLAIN.std, flip=True, crop_padding=2)
    assert torch.equal(view.plain(stored), view.plain(floats))
    assert torch.equal(view.training(stored, seeded()), view.training(floats, seeded()))


def test_without_augmentation_training_sees_the_plain_inputs_and_draws_nothing() -> None:
    generator = seeded()
    state = generator.get_state()
    assert PLAIN.deterministic
    assert torch.equal(PLAIN.training(pictures(), generator), PLAIN.plain(pictures()))
    assert torch.equal(generator.get_state(), state)


def test_crops_are_the_nine_windows_of_a_padded_image_and_all_as_likely() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    # the image with a border of zeros, and a window of 2 x 2 at every place: by hand
    windows = [
        [0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 2, 0],
        [0, 1, 0, 3], [1, 2, 3, 4], [2, 0, 4, 0],
        [0, 3, 0, 0], [3, 4, 0, 0], [4, 0, 0, 0],
    ]  # fmt: skip
    images = image.expand(9_000, 1, 2, 2)
    cut = View(crop_padding=1).training(images, seeded()).reshape(-1, 4).int().tolist()
    counts = [cut.count(window) for window in windows]
    assert sum(counts) == 9_000
    chi_square = sum((count - 1_000) ** 2 / 1_000 for count in counts)
    assert chi_square < 26.1  # .999 quantile at 8 degrees of freedom


def test_all_channels_of_an_image_are_cut_at_the_same_place() -> None:
    images = torch.arange(1.0, 26.0).reshape(1, 1, 5, 5) * torch.tensor([1.0, 10.0]).reshape(
        1, 2, 1, 1
    )
    cut = View(crop_padding=3).training(images.expand(50, 2, 5, 5), seeded())
    assert cut.shape == (50, 2, 5, 5)
    assert torch.equal(10 * cut[:, 0], cut[:, 1])
    assert len({tuple(row) for row in cut[:, 0].flatten(1).tolist()}) > 10


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    seen = View(flip=True).training(image.expand(4_000, 1, 2, 2), seeded()).reshape(-1, 4)
    kept = (seen == torch.tensor([1.0, 2.0, 3.0, 4.0])).all(dim=1)
    mirrored = (seen == torch.tensor([2.0, 1.0, 4.0, 3.0])).all(dim=1)
    assert bool((kept ^ mirrored).all())
    assert abs(int(mirrored.sum()) - 2_000) < 3.3 * 31.6  # standard deviations of 4,000 coins


def test_the_generator_decides_the_augmentation() -> None:
    view = View(flip=True, crop_padding=2)
    assert not view.deterministic
    first, again, other = (view.training(pictures(), seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"mean": (0.5,)}, "1 means and 0 deviations"),
        ({"mean": (0.5,), "std": (0.0,)}, "positive"),
        ({"mean": (0.5,), "std": (float("nan"),)}, "finite"),
        ({"crop_padding": -1}, "crop_padding"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidView, match=complaint):
        View(**settings)  # type: ignore[arg-type]


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeMismatch, match="means"):
        PLAIN.plain(torch.zeros(3, 1, 4, 4))
    with pytest.raises(ShapeMismatch, match="images"):
        View(flip=True).training(torch.zeros(3, 8), seeded())
