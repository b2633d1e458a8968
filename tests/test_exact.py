"""Exact chances: against scipy's, and against all the paths there are."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from cvkit.stats import exact
from cvkit.stats.change import kolmogorov


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (3, 3), (5, 7), (28, 392), (27, 391), (100, 100), (150, 260)])
@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_chances_of_a_distance_are_scipys(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n + m)
    for _ in range(5):
        now, then = np.sort(rng.normal(shift, 1, n)), np.sort(rng.normal(0, 1, m))
        told = stats.ks_2samp(now, then, method="exact")
        steps = round(told.statistic * math.lcm(n, m))
        assert exact.ks_tail(n, m, steps) == pytest.approx(told.pvalue, rel=1e-6, abs=1e-12)
        assert kolmogorov.exact_p_value(now, then, told.statistic) == pytest.approx(told.pvalue, rel=1e-6)


def test_chances_of_a_distance_are_a_share_of_all_orders() -> None:
    n, m = 3, 5
    whole, distances = math.lcm(n, m), []
    for places in combinations(range(n + m), n):
        up = np.where(np.isin(np.arange(n + m), places), whole // n, -(whole // m))
        distances.append(int(np.abs(np.cumsum(up)).max()))
    for steps in range(whole + 1):
        assert exact.ks_tail(n, m, steps) == pytest.approx(np.mean(np.array(distances) >= steps), abs=1e-12)


def test_a_small_chance_keeps_its_digits() -> None:
    now, then = np.arange(20.0) + 1000, np.arange(30.0)
    assert kolmogorov.exact_p_value(now, then, 1.0) == pytest.approx(2 / math.comb(50, 20), rel=1e-9)


def test_below_the_floor_digits_do_not_matter() -> None:
    now, then = np.arange(20.0) + 2000, np.arange(31.0)
    assert kolmogorov.exact_p_value(now, then, 1.0, floor=0.01) < 1e-6
    assert kolmogorov.exact_p_value(now, then, 1.0) == pytest.approx(
        2 / math.comb(51, 20), rel=1e-9
    )  # nor are they kept


def test_chances_of_counts_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        images = int(rng.integers(1, 5000))
        holding, drawn = (int(one) for one in rng.integers(0, images + 1, 2))
        held = int(rng.integers(0, drawn + 2))
        expected = stats.hypergeom.sf(held - 1, images, holding, drawn)
        assert exact.at_least(held, images, holding, drawn) == pytest.approx(expected, rel=1e-7, abs=1e-300)
        p, k = rng.uniform(0, 1, 5), rng.integers(0, images + 1, 5)
        assert exact.binomial(images, k, p) == pytest.approx(stats.binom.pmf(k, images, p), rel=1e-7, abs=1e-300)
    assert exact.binomial(3, [0, 3], [0.0, 1.0]).tolist() == [1.0, 1.0]
