import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workers.unlearning import errors
from workers.unlearning.data import LabelledSet
from workers.unlearning.evaluation import EvaluationSets, observe, perturbations, predict


class Total(nn.Module):
    """Logits (sum, -sum, ...) of each input: predictable, and blind to one-pixel shifts inside."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, inputs: Tensor) -> Tensor:
        total = inputs.flatten(1).sum(dim=1, keepdim=True)
        return torch.cat([total * (-1) ** c for c in range(self.classes)], dim=1)


def normalised_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def labelled(inputs: Tensor, classes: int = 2) -> LabelledSet:
    return LabelledSet(inputs, torch.arange(len(inputs)) % classes)


def four_sets(
    forget: int = 3, retain: int = 4, validation: int = 5, test: int = 6
) -> EvaluationSets:
    sizes = (forget, retain, validation, test)
    return EvaluationSets(*(labelled(images(n, seed)) for seed, n in enumerate(sizes)))


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    model, inputs = normalised_net().eval(), images(7)
    whole = predict(model, inputs, batch_size=100)
    assert whole.shape == (7, 3)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(predict(model, inputs, batch_size=2), whole)


def test_a_single_module_in_train_mode_is_refused_by_name() -> None:
    model = normalised_net().eval()
    model[1].train()
    with pytest.raises(errors.NotInEvalMode, match=r"1 modules are in train mode: 1$"):
        predict(model, images(2))


def test_evaluation_leaves_parameters_and_batch_norm_statistics_bit_equal() -> None:
    model = normalised_net().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sets = EvaluationSets(*(labelled(images(5, seed), 3) for seed in range(4)))
    observe(model, sets)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(p.requires_grad and p.grad is not None for p in model.parameters())


def test_logits_that_are_not_finite_are_counted() -> None:
    inputs = images(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).eval()
    with torch.no_grad():
        model[1].bias[0] = float("nan")
    with pytest.raises(errors.NonFiniteLogits, match="5 of 5 rows"):
        predict(model, inputs)


def test_one_class_is_too_few() -> None:
    with pytest.raises(errors.TooFewClasses, match="1 classes"):
        predict(Total(1).eval(), images(2))


def test_an_empty_forget_retain_or_test_set_is_refused_but_no_validation_set_is_fine() -> None:
    model = Total().eval()
    with pytest.raises(errors.EmptyForgetSet):
        observe(model, four_sets(forget=0))
    with pytest.raises(errors.EmptySet, match="retain"):
        observe(model, four_sets(retain=0))
    with pytest.raises(errors.EmptySet, match="test"):
        observe(model, four_sets(test=0))
    seen = observe(model, four_sets(validation=0))
    assert len(seen.validation) == 0
    assert seen.validation.logits.shape == (0, 2)


def test_a_label_outside_the_logits_is_refused() -> None:
    sets = four_sets()
    wrong = LabelledSet(images(3), torch.tensor([0, 1, 2]))
    with pytest.raises(errors.LabelOutOfRange, match=r"1 of 3 labels lie outside 0\.\.1"):
        observe(Total().eval(), EvaluationSets(wrong, sets.retain, sets.validation, sets.test))


def test_an_observation_holds_logits_labels_and_the_mean_evidence_of_perturbed_inputs() -> None:
    sets = four_sets()
    seen = observe(Total().eval(), sets)
    total = sets.forget.inputs.flatten(1).sum(dim=1)
    np.testing.assert_allclose(seen.forget.logits[:, 0], total, rtol=1e-6)
    np.testing.assert_array_equal(seen.forget.labels, [0, 1, 0])
    moved = torch.stack(
        [view.flatten(1).sum(dim=1) for view in perturbations(sets.forget.inputs, images(1), 0)]
    ).mean(dim=0)
    # phi of two classes is z_y - z_other = 2 sum for label 0 and -2 sum for label 1.
    expected = 2 * moved * torch.tensor([1.0, -1.0, 1.0])
    np.testing.assert_allclose(seen.forget.shifted_evidence, expected, rtol=1e-5)
    assert seen.retain.shifted_evidence is None


def test_images_are_shifted_by_one_pixel_in_four_directions_with_repeated_edges() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    views = [view[0, 0].tolist() for view in perturbations(image, image, 0)]
    down, up = [[1, 2], [1, 2]], [[3, 4], [3, 4]]
    right, left = [[1, 1], [3, 3]], [[2, 2], [4, 4]]
    assert views == [down, up, right, left]


def test_features_get_the_same_small_noise_for_every_model() -> None:
    inputs = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(1))
    reference = torch.tensor([[0.0, 0.0], [2.0, 20.0]])  # deviations 1 and 10
    views = list(perturbations(inputs, reference, salt=3))
    assert all(map(torch.equal, views, perturbations(inputs, reference, salt=3)))
    noise = (torch.stack(views) - inputs).flatten(0, 1).std(dim=0)
    torch.testing.assert_close(noise, torch.tensor([0.1, 1.0]), rtol=0.03, atol=0)


class Small(nn.Module):
    """A device on which `fits` rows fit."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.batches: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("no memory")
        self.batches.append(len(x))
        total = x.flatten(1).sum(dim=1)
        return torch.stack([total, -total], dim=1)


def test_predictions_are_halved_until_they_fit_the_memory() -> None:
    model, inputs = Small(3).eval(), images(10)
    logits = predict(model, inputs, batch_size=8)
    torch.testing.assert_close(logits[:, 0], inputs.flatten(1).sum(dim=1))
    assert max(model.batches) == 2
    with pytest.raises(torch.OutOfMemoryError):
        predict(Small(0).eval(), inputs)
