"""Student's t, Wilson and Agresti-Min intervals, Benjamini-Hochberg: small-sample arithmetic.

Written out so that verification runs where only torch and NumPy are installed.
"""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from workers.unlearning.conditional import Floats

NORMAL = NormalDist()
Z_95 = NORMAL.inv_cdf(0.975)


def normal_two_sided(z: float) -> float:
    """Probability that a standard normal lies at least |z| from 0."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def t_upper_tail(t: float, degrees: int) -> float:
    """P(T >= t) for Student's t; Abramowitz and Stegun 26.7.1."""
    if degrees > 2_000:
        return math.erfc(t / math.sqrt(2.0)) / 2.0
    tail = _incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t)) / 2.0
    return tail if t >= 0 else 1.0 - tail


@lru_cache(maxsize=1024)
def t_quantile(upper_tail: float, degrees: int) -> float:
    """t with P(T >= t) = upper_tail, for an upper tail in (0, .5]; by bisection."""
    low, high = 0.0, 1.0
    while t_upper_tail(high, degrees) > upper_tail:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if t_upper_tail(middle, degrees) > upper_tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b) by its continued fraction (Lentz)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        fraction *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return front * fraction / a


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, 95 % by default."""
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_difference_interval(
    gained: int, lost: int, trials: int, z: float = Z_95
) -> tuple[float, float]:
    """Interval for (gained - lost) / trials of paired proportions (Agresti and Min 2005).

    One pseudo-pair for each outcome: without discordant pairs the interval has still a width.
    """
    n = trials + 2
    difference = (gained - lost) / n
    variance = ((gained + lost + 1) / n - difference**2) / n
    half = z * math.sqrt(max(variance, 0.0))
    return max(-1.0, difference - half), min(1.0, difference + half)


def benjamini_hochberg(p_values: Floats) -> Floats:
    """(m,) p-values -> (m,) q-values: the false discovery rate at which each is called."""
    m = len(p_values)
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * m / np.arange(m, 0, -1)
    q = np.empty(m)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled))
    return q
