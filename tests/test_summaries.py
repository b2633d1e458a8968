"""Merged summaries against the numbers themselves, by numpy and scipy: their stated errors hold, each time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as oracle

from cvkit.stats import summaries
from cvkit.stats.change import drift
from cvkit.stats.summaries import Summary, merged, summarise

Floats = NDArray[np.float64]
KINDS = {
    "normal": lambda random, n: random.normal(random.normal(0, 0.3), 1, n),
    "heavy tails": lambda random, n: random.standard_t(1.5, n),
    "few values": lambda random, n: random.poisson(3, n).astype(float),
    "one value": lambda random, n: np.full(n, 7.25),
    "half one value": lambda random, n: np.where(random.random(n) < 0.5, 0.0, random.random(n)),
    "two heaps": lambda random, n: np.where(random.random(n) < 0.3, random.normal(0, 0.01, n), random.normal(9, 1, n)),
    "ascending": lambda random, n: np.linspace(0, 1, n) ** 3,
}


def parts_of(kind: str, random: np.random.Generator, parts: int = 12) -> list[Floats]:
    return [KINDS[kind](random, int(random.integers(1, 900))) for _ in range(parts)]


def farthest(summary: Summary, values: Floats) -> float:
    """The largest difference of the two distribution functions, before and after each step of either."""
    at = np.union1d(values, summary.points)
    true = np.searchsorted(np.sort(values), at, side="right") / values.size
    told = np.array([summary.weights[summary.points <= x].sum() for x in at]) / values.size
    return float(np.abs(true - told).max())


@pytest.mark.parametrize("kind", KINDS)
def test_moments_and_ends_are_exact(kind: str) -> None:
    parts = parts_of(kind, np.random.default_rng(1), 40)
    every = np.concatenate(parts)
    whole = merged(summarise(part) for part in parts)
    assert (whole.count, whole.least, whole.greatest) == (every.size, every.min(), every.max())
    assert whole.mean == pytest.approx(every.mean(), rel=1e-12, abs=1e-12)
    assert whole.sd == pytest.approx(every.std(ddof=1), rel=1e-11, abs=1e-12)
    assert whole.weights.sum() == every.size


def test_what_is_no_number_is_missing() -> None:
    whole = merged([summarise([1.0, math.nan, math.inf]), summarise([math.nan]), summarise([])])
    assert (whole.count, whole.missing, whole.mean) == (1, 3, 1.0)
    assert math.isnan(whole.sd)
    nothing = merged([summarise([math.nan]), summarise([])])
    assert (nothing.count, nothing.missing) == (0, 1)
    assert math.isnan(nothing.mean)
    assert math.isnan(summaries.quantiles(nothing, [0.5])[0].value)
    assert math.isnan(summaries.ks(nothing, whole).value)
    assert math.isnan(summaries.psi(whole, nothing).value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution_is_as_near_as_stated(kind: str) -> None:
    for seed in range(30):
        parts = parts_of(kind, np.random.default_rng(seed))
        every = np.concatenate(parts)
        whole = merged(summarise(part) for part in parts)
        assert whole.error <= 1 / (2 * summaries.POINTS) + 1 / 500
        assert farthest(whole, every) <= whole.error + 1e-12
        assert np.all(np.diff(whole.points) > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_thinning_a_whole_costs_what_is_stated(kind: str) -> None:
    for seed in range(20):
        parts = parts_of(kind, np.random.default_rng(seed), 30)
        whole = merged((summarise(part) for part in parts), limit=200)
        assert whole.points.size <= 200
        assert farthest(whole, np.concatenate(parts)) <= whole.error + 1e-12


def test_a_year_of_a_fleet_stays_small_and_near() -> None:
    random = np.random.default_rng(3)
    sizes = random.integers(1000, 2000, 3000)
    whole = merged(summarise(random.normal(0, 1, size)) for size in sizes)
    assert whole.points.size <= summaries.LIMIT
    assert whole.error <= 1 / (2 * summaries.POINTS) + 0.001


@pytest.mark.parametrize("kind", ["normal", "few values", "half one value"])
def test_order_and_grouping_do_not_matter(kind: str) -> None:
    parts = [summarise(part) for part in parts_of(kind, np.random.default_rng(5), 6)]
    one = merged(parts)
    others = [merged(reversed(parts)), merged([merged(parts[:2]), merged([*parts[2:5]]), parts[5]]),
              merged([parts[5], merged(parts[:5])])]  # fmt: skip
    for other in others:
        assert (one.count, one.missing, one.least, one.greatest, one.slack) == (
            other.count, other.missing, other.least, other.greatest, other.slack,
        )  # fmt: skip
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.weights, other.weights)
        assert other.mean == pytest.approx(one.mean, rel=1e-13)
        assert other.squares == pytest.approx(one.squares, rel=1e-12)


def test_a_summary_follows_from_its_numbers_alone() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    first, second = summarise(values), summarise(values[::-1])
    np.testing.assert_array_equal(first.points, second.points)
    assert (first.mean, first.squares, first.slack) == (second.mean, second.squares, second.slack)


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_lie_in_their_bands(kind: str) -> None:
    shares = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999, 1.0]
    for seed in range(30):
        parts = parts_of(kind, np.random.default_rng(seed))
        true = np.quantile(np.concatenate(parts), shares, method="inverted_cdf")
        told = summaries.quantiles(merged(summarise(part) for part in parts), shares)
        for value, found in zip(true, told, strict=True):
            assert found.low <= value <= found.high
            assert found.low <= found.value <= found.high


PAIRS = list(itertools.product(("normal", "heavy tails", "few values", "half one value"), repeat=2))


@pytest.mark.parametrize(("kind", "other"), PAIRS)
def test_ks_and_psi_lie_in_their_bands(kind: str, other: str) -> None:
    for seed in range(15):
        random = np.random.default_rng(seed)
        now, then = parts_of(kind, random, 5), parts_of(other, random, 8)
        current, reference = (merged(summarise(part) for part in parts) for parts in (now, then))
        a, b = np.concatenate(now), np.concatenate(then)
        told = summaries.ks(current, reference)
        assert told.low - 1e-12 <= oracle.ks_2samp(a, b).statistic <= told.high + 1e-12
        edges = summaries.decile_edges(reference)
        counts = [
            np.bincount(np.searchsorted(edges, values, side="left"), minlength=edges.size + 1) for values in (a, b)
        ]
        p, q = ((count + 0.5) / (count.sum() + 0.5 * count.size) for count in counts)
        exact = float(((p - q) * np.log(p / q)).sum())
        index = summaries.psi(current, reference)
        assert index.low - 1e-12 <= exact <= index.high + 1e-12
        assert exact > 0.25 or index.high - index.low < 0.25


def test_few_values_are_told_exactly() -> None:
    random = np.random.default_rng(2)
    now, then = random.poisson(3, 4000).astype(float), random.poisson(3.3, 3000).astype(float)
    current, reference = (merged(summarise(part) for part in np.split(values, 10)) for values in (now, then))
    assert current.error == 0
    assert summaries.ks(current, reference).value == pytest.approx(oracle.ks_2samp(now, then).statistic, abs=1e-12)
    assert summaries.quantiles(current, [0.5])[0] == summaries.Between(*[float(np.quantile(now, 0.5))] * 3)


def test_the_bins_are_those_of_the_window_statistics() -> None:
    random = np.random.default_rng(2)
    now, then = random.normal(0.2, 1, 100), random.normal(0, 1, 101)
    told = summaries.psi(summarise(now), summarise(then)).value
    assert told == pytest.approx(drift.psi(now, then).statistic, abs=0.05)


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.floats(-1e300, 1e300) | st.integers(0, 3).map(float), max_size=60), max_size=6),
    st.integers(2, 9),
)
def test_any_numbers_keep_the_promise(parts: list[list[float]], points: int) -> None:
    whole = merged((summarise(part, points) for part in parts), limit=12)
    every = np.array([value for part in parts for value in part])
    assert whole.count == every.size
    assert whole.weights.sum() == every.size
    if every.size:
        assert farthest(whole, every) <= whole.error + 1e-12
