"""Are the forget samples comparable with the unseen ones at all, before any model is asked?

One person's samples can differ from strangers' by their inputs (style, camera, scanner). Then even
a model that never saw them treats them differently, and .5 is the wrong target for an attack.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.unlearning.conditional import Ints
from workers.unlearning.data import NonFiniteInputs
from workers.unlearning.errors import EmptyForgetSet, EmptySet, ShapeMismatch
from workers.unlearning.input_classifier import permuted_aucs
from workers.unlearning.persons import unusual_p_value
from workers.unlearning.views import View

LARGEST_UNSEEN = 4_000
LARGEST_SIDE = 16  # images are averaged down to this: style shows at low resolution
SMALLEST_FORGET_SET = 5
UNUSUAL = 0.05


@dataclass(frozen=True)
class ReferenceCheck:
    """An input-only classifier of forget against unseen; None where it could not be fitted."""

    auc: float | None
    p_value: float | None
    samples: int
    permutations: int
    reason: str | None = None
    # Are these inputs more unusual than an unseen person's? None where persons are not named.
    unusual_p: float | None = None

    def fires(self, auc: float, p_value: float) -> bool:
        """The samples differ from the unseen ones by their inputs alone: .5 is not the target."""
        if self.auc is None or self.p_value is None:
            return False
        return self.auc >= auc and self.p_value <= p_value

    def unusual(self) -> bool:
        """Unseen persons do not show what to expect of this one."""
        return self.unusual_p is not None and self.unusual_p <= UNUSUAL


def reference_check(
    forget_inputs: Tensor,
    forget_labels: Tensor,
    unseen_inputs: Tensor,
    unseen_labels: Tensor,
    seed: int,
    *,
    permutations: int = 999,
    view: View | None = None,
    unseen_persons: NDArray[Any] | None = None,
) -> ReferenceCheck:
    """Cross-fitted linear classifier on class-centred principal components; no model is read.

    Inputs (N, *input_shape). The AUC is class-conditional; its p-value comes from permuting forget
    and unseen within class. Classes without unseen samples are left out. With `unseen_persons`
    (n_u,), -1 where unknown, it is also asked whether D_f is more unusual than one of them.
    """
    if not len(forget_labels):
        raise EmptyForgetSet("the reference check")
    if not len(unseen_labels):
        raise EmptySet("unseen")
    if forget_inputs.shape[1:] != unseen_inputs.shape[1:]:
        raise ShapeMismatch("forget and unseen inputs", forget_inputs.shape, unseen_inputs.shape)
    of_forget, of_unseen = _numpy_labels(forget_labels), _numpy_labels(unseen_labels)
    rng = np.random.default_rng([seed, 8])
    shared = np.intersect1d(of_forget, of_unseen)
    forget_rows = np.flatnonzero(np.isin(of_forget, shared))
    unseen_rows = np.flatnonzero(np.isin(of_unseen, shared))
    if len(forget_rows) < SMALLEST_FORGET_SET:
        reason = f"needs {SMALLEST_FORGET_SET} comparable forget samples"
        return ReferenceCheck(None, None, len(forget_rows), 0, reason)
    if len(unseen_rows) > LARGEST_UNSEEN:
        unseen_rows = rng.permutation(unseen_rows)[:LARGEST_UNSEEN]
    labels = np.concatenate([of_forget[forget_rows], of_unseen[unseen_rows]])
    sides = ((forget_inputs, forget_rows), (unseen_inputs, unseen_rows))
    inputs = torch.cat([_flat(values, rows, view or View()) for values, rows in sides])
    finite = torch.isfinite(inputs).all(dim=1)
    if not bool(finite.all()):
        raise NonFiniteInputs(int((~finite).sum()), len(finite))
    member = np.arange(len(labels)) < len(forget_rows)
    observed, null = permuted_aucs(inputs.numpy(), labels, member, permutations, rng)
    p_value = (1 + int((null >= observed).sum())) / (permutations + 1)
    unusual = None
    if unseen_persons is not None:
        n_f, values = len(forget_rows), inputs.numpy()
        whose = np.asarray(unseen_persons)
        if whose.shape != of_unseen.shape:
            raise ShapeMismatch("unseen persons and rows", whose.shape, of_unseen.shape)
        unusual = unusual_p_value(
            values[:n_f], labels[:n_f], values[n_f:], labels[n_f:], whose[unseen_rows], rng
        )
    return ReferenceCheck(observed, p_value, len(forget_rows), permutations, unusual_p=unusual)


def _numpy_labels(labels: Tensor) -> Ints:
    return labels.detach().cpu().numpy().astype(np.int64)


def _flat(inputs: Tensor, rows: Ints, view: View) -> Tensor:
    """(n, features) float64 on the CPU, as the network sees them."""
    chosen = view.plain(inputs[torch.from_numpy(rows).to(inputs.device)])
    if chosen.ndim == 4 and max(chosen.shape[-2:]) > LARGEST_SIDE:
        chosen = torch.nn.functional.adaptive_avg_pool2d(chosen, LARGEST_SIDE)
    return chosen.flatten(1).cpu().double()
