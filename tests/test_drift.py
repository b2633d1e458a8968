"""Drift statistics: scipy and closed forms as oracles, laws, one contract for all, and false-alarm bands."""

from __future__ import annotations

import doctest
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats
from scipy.signal import lfilter
from scipy.spatial.distance import jensenshannon

from cvkit.stats import intervals
from cvkit.stats.change import chunks, drift, multivariate, sequential
from cvkit.stats.change.class_mix import ClassSample, chi_square, class_mix_p_value, prepare_classes
from cvkit.stats.change.sequential import Component, Track, weigh, window_weight

NAMES = sorted(drift.NUMERIC)
SIZES = [(1, 1), (2, 5), (24, 144), (300, 77), (1999, 2000), (2500, 900)]
samples = st.lists(st.integers(-20, 20) | st.floats(-1e6, 1e6), min_size=1, max_size=40)


def healthy(rng: np.random.Generator, shape: tuple[int, ...], icc: float, phi: float) -> np.ndarray:
    """Chunks (..., chunks, images) of unit variance: a share icc of it between chunks, AR(1) within."""
    noise = rng.standard_normal(shape)
    noise[..., 1:] *= math.sqrt(1 - phi**2)
    series = lfilter([1], [1, -phi], noise, axis=-1)
    return math.sqrt(icc) * rng.standard_normal((*shape[:-1], 1)) + math.sqrt(1 - icc) * series


# -- oracles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_ks_equals_scipy(n: int, m: int, ties: bool) -> None:
    rng = np.random.default_rng(n + m)
    current, reference = rng.normal(0.3, 1, n), rng.normal(0, 1.2, m)
    if ties:
        current, reference = current.round(1), reference.round(1)
    method = "exact" if max(n, m) <= drift.EXACT_LIMIT else "asymp"
    expected = stats.ks_2samp(current, reference, method=method)
    result = drift.ks(current, reference)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_wasserstein_equals_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n * m)
    current, reference = rng.gamma(2, 1, n), rng.normal(2, 3, m).round(2)
    result = drift.wasserstein(current, reference)
    assert result.statistic == pytest.approx(stats.wasserstein_distance(current, reference), rel=1e-12)
    if m > 1:
        assert result.effect == pytest.approx(result.statistic / reference.std(ddof=1), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_jensen_shannon_and_psi_equal_their_definitions_on_deciles(n: int, m: int) -> None:
    rng = np.random.default_rng(n + 7 * m)
    current, reference = rng.normal(0.5, 1, n), rng.normal(0, 1, m)
    cuts = np.unique(np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf"))
    if cuts.size < 9:
        pytest.skip("deciles collapse")
    edges = np.concatenate([[-np.inf], np.nextafter(cuts, np.inf), [np.inf]])
    p, q = np.histogram(current, edges)[0], np.histogram(reference, edges)[0]
    assert drift.jensen_shannon(current, reference).statistic == pytest.approx(jensenshannon(p, q, base=2), rel=1e-12)
    p, q = (p + 0.5) / (n + 5), (q + 0.5) / (m + 5)
    assert drift.psi(current, reference).statistic == pytest.approx(np.sum((p - q) * np.log(p / q)), rel=1e-12)


def test_psi_of_shares_worked_by_hand() -> None:
    reference = np.repeat(np.arange(10), 100)
    current = np.repeat(np.arange(10), [200, *[100] * 8, 0])
    p, q = np.array([200.5, 0.5]) / 1005, 100.5 / 1005
    assert drift.psi(current, reference).statistic == pytest.approx(np.sum((p - q) * np.log(p / q)), rel=1e-12)


def test_psi_without_drift_is_what_is_expected_of_noise() -> None:
    rng = np.random.default_rng(5)
    values = [drift.psi(rng.normal(size=400), rng.normal(size=2000)).statistic for _ in range(300)]
    assert np.mean(values) == pytest.approx(drift.psi_expected(400, 2000), rel=0.1)


@pytest.mark.parametrize("table", [[[30, 10], [20, 20]], [[5, 0, 9, 3], [40, 2, 55, 0]], [[1, 1, 1], [100, 50, 50]]])
def test_chi_square_equals_scipy(table: list[list[int]]) -> None:
    expected = stats.chi2_contingency(np.array(table), correction=False)
    result = chi_square(*table)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    halved = chi_square(*table, deff=2.0)
    assert halved.p_value == pytest.approx(stats.chi2.sf(expected.statistic / 2, expected.dof), rel=1e-12)
    assert (result.n, result.n_reference) == tuple(map(sum, table))


def test_cohens_w_of_a_textbook_pair() -> None:
    assert chi_square([40, 60], [500, 500]).effect == pytest.approx(0.2, rel=1e-12)  # .5 against .4
    assert chi_square([40, 60], [400, 600]).effect == 0
    assert 0 < chi_square([90, 10], [100, 0]).effect < math.inf  # a class the reference never saw


def test_ks_with_a_design_effect_counts_fewer_values() -> None:
    rng = np.random.default_rng(1)
    current, reference = rng.normal(0.5, 1, 60), rng.normal(0, 1, 300)
    distance = stats.ks_2samp(current, reference).statistic
    assert drift.ks(current, reference, deff=2.5).p_value == pytest.approx(stats.kstwo.sf(distance, 20), rel=1e-12)


# -- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(values=samples)
def test_a_sample_lies_at_distance_zero_from_itself(name: str, values: list[float]) -> None:
    result = drift.NUMERIC[name](values, values)
    assert result.statistic == pytest.approx(0, abs=1e-12)
    assert result.effect == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["ks", "wasserstein"])
@settings(max_examples=60)
@given(one=samples, two=samples)
def test_distances_are_symmetric(name: str, one: list[float], two: list[float]) -> None:
    statistic = drift.NUMERIC[name]
    assert statistic(one, two).statistic == pytest.approx(statistic(two, one).statistic, rel=1e-9, abs=1e-12)


@settings(max_examples=60)
@given(one=samples, two=samples)
def test_statistics_stay_in_their_range(one: list[float], two: list[float]) -> None:
    results = drift.compare(one, two)
    assert 0 <= results["ks"].statistic <= 1
    assert 0 <= results["ks"].p_value <= 1
    assert 0 <= results["jensen_shannon"].statistic <= 1
    assert 0 <= results["psi"].statistic < math.inf
    assert 0 <= results["wasserstein"].statistic < math.inf


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_shift_is_a_larger_distance(name: str) -> None:
    rng = np.random.default_rng(2)
    current, reference = rng.normal(size=300), rng.normal(size=900)
    distances = [drift.NUMERIC[name](current + shift, reference).statistic for shift in (0.2, 0.5, 1, 2)]
    assert distances == sorted(distances)
    assert distances[-1] > 3 * distances[0]


@pytest.mark.parametrize("name", ["ks", "psi", "jensen_shannon"])
def test_monotone_maps_change_nothing(name: str) -> None:
    rng = np.random.default_rng(3)
    current, reference = rng.normal(0.4, 1, 200), rng.normal(size=500)
    statistic = drift.NUMERIC[name]
    assert statistic(np.exp(current), np.exp(reference)).statistic == pytest.approx(
        statistic(current, reference).statistic, rel=1e-12
    )


def test_a_shift_moves_wasserstein_by_itself() -> None:
    values = np.random.default_rng(4).normal(size=500)
    assert drift.wasserstein(values + 0.7, values).statistic == pytest.approx(0.7, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_values_and_preparation_change_nothing(name: str) -> None:
    rng = np.random.default_rng(6)
    current, reference = rng.normal(0.4, 1, 200), rng.normal(size=500)
    statistic = drift.NUMERIC[name]
    plain = statistic(current, reference)
    assert statistic(rng.permutation(current), rng.permutation(reference)) == plain
    assert statistic(drift.prepare(current), drift.prepare(reference)) == plain
    assert drift.compare(current, reference, [name])[name] == plain


# -- contract -------------------------------------------------------------------------------------------------------

INPUTS = {
    "empty": [],
    "only NaN": [math.nan, math.nan],
    "one value": [3.0],
    "constant": [2.0] * 9,
    "NaN among values": [1.0, math.nan, 2.0, 4.0],
    "infinities": [-math.inf, 1.0, 2.0, math.inf, math.inf],
    "only infinities": [math.inf, math.inf],
    "integers": np.arange(12),
    "small integers": np.arange(12, dtype=np.uint8),
    "booleans": np.array([True, False, True, True]),
    "float32": np.linspace(0, 1, 20, dtype=np.float32),
    "huge": [1e100, -1e100, 5.0],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("one", "two"), list(itertools.product(INPUTS, repeat=2)))
@pytest.mark.parametrize("chunked", [False, True])
def test_contract(name: str, one: str, two: str, chunked: bool) -> None:
    current, reference = np.asarray(INPUTS[one]), np.asarray(INPUTS[two])
    before = current.copy(), reference.copy()
    prepared = drift.prepare(reference, np.arange(reference.size) % 3) if chunked else reference
    result = drift.NUMERIC[name](current, prepared)
    assert str(drift.NUMERIC[name](current, prepared)) == str(result)  # NaN included
    np.testing.assert_array_equal(current, before[0])
    np.testing.assert_array_equal(reference, before[1])
    assert result.n == np.count_nonzero(~np.isnan(current.astype(float)))
    assert result.n_reference == np.count_nonzero(~np.isnan(reference.astype(float)))
    if not result.n or not result.n_reference:
        assert math.isnan(result.statistic)
        assert math.isnan(result.p_value)
        assert math.isnan(result.effect)
    else:
        assert result.statistic >= 0
        assert result.effect >= 0
        assert math.isnan(result.p_value) or 0 <= result.p_value <= 1


def test_a_constant_reference_has_no_unit_to_measure_in() -> None:
    assert drift.wasserstein([5.0, 5.0], [5.0] * 8).effect == 0
    assert drift.ks([5.0, 5.1], [5.0] * 8).effect == math.inf
    assert drift.psi([3.0] * 50, [5.0] * 50).statistic > 3  # below and above are other bins
    assert drift.jensen_shannon([3.0] * 50, [5.0] * 50).statistic == 1


def test_infinities_are_far_only_where_their_shares_differ() -> None:
    assert drift.wasserstein([1, 2, math.inf], [1, 3, math.inf]).statistic == pytest.approx(1 / 3)
    assert drift.wasserstein([1, 2, 3], [1, 3, math.inf]).statistic == math.inf


UNITS = [2.0**-660, 2.0**-300, 2.0**300, 2.0**660]  # about 1e-200 to 1e200, where squares are 0 or infinite


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", UNITS)
@pytest.mark.parametrize("chunked", [False, True])
def test_the_unit_of_a_feature_changes_nothing(name: str, by: float, chunked: bool) -> None:
    rng = np.random.default_rng(5)
    current, reference = rng.normal(0.4, 1, 300), rng.normal(0, 1, 400)
    groups = np.arange(400) // 40 if chunked else None
    plain = drift.NUMERIC[name](current, drift.prepare(reference, groups))
    found = drift.NUMERIC[name](by * current, drift.prepare(by * reference, groups))
    power = {"wasserstein": 1.0, "energy": 0.5}.get(name, 0.0)
    assert found.statistic == pytest.approx(plain.statistic * by**power, rel=1e-9)
    assert found.effect == pytest.approx(plain.effect, rel=1e-9)
    assert found.p_value == pytest.approx(plain.p_value, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("by", UNITS)
def test_the_unit_of_large_columns_changes_nothing(by: float) -> None:
    rng = np.random.default_rng(8)
    current, reference = rng.normal(0.1, 1, 110_000), rng.normal(0, 1, 110_000)
    plain, found = drift.compare(current, reference), drift.compare(by * current, by * reference)
    for name in drift.WINDOW:
        scale = by if name == "wasserstein" else 1.0
        assert found[name].statistic == pytest.approx(plain[name].statistic * scale, rel=1e-9)
        assert found[name].effect == pytest.approx(plain[name].effect, rel=1e-9)
    assert found["ks"].p_value == pytest.approx(plain["ks"].p_value, rel=1e-9)


@pytest.mark.parametrize("by", UNITS)
def test_the_unit_changes_no_evidence(by: float) -> None:
    rng = np.random.default_rng(9)
    reference, window, groups = rng.normal(3, 1, 200), rng.normal(4, 2, 20), np.arange(200) // 20

    def evidence(scale: float) -> list[float]:
        learnt = chunks.learn_chunks(scale * reference, groups)
        assert learnt is not None
        told = []
        for signal in chunks.signals(scale * window, learnt):
            tracks = [
                Track(spread, np.full(3, value), np.full(3, window_weight(spread, value, signal.size)))
                for value, spread in signal.parts
            ]
            told += [weigh([Component(1.0, (one,))]).log_sum for one in tracks] + [sequential.shift(tracks[0], 1)]
        return told

    assert evidence(by) == pytest.approx(evidence(1.0), rel=1e-9)


@pytest.mark.parametrize("by", UNITS)
def test_the_unit_changes_no_interval_and_no_design_effect(by: float) -> None:
    rng = np.random.default_rng(6)
    values, groups = rng.normal(3, 1, 200), np.arange(200) // 20
    for plain, found in (
        (intervals.mean_interval(values), intervals.mean_interval(by * values)),
        (intervals.normal_range(values, groups, 20), intervals.normal_range(by * values, groups, 20)),
        (intervals.normal_range(values, None, 20), intervals.normal_range(by * values, None, 20)),
    ):
        np.testing.assert_allclose(np.array(found) / by, plain, rtol=1e-9)
    assert chunks.design_effect(by * values, groups) == pytest.approx(chunks.design_effect(values, groups))
    first, second = (drift.prepare(scale * values, groups).chunks for scale in (1.0, by))
    assert first is not None
    assert second is not None
    least = chunks.detectable_shift(first, 20, 0.01)
    assert chunks.detectable_shift(second, 20, 0.01) == pytest.approx(by * least)


def test_a_window_far_beyond_all_reason_is_drift() -> None:
    reference = drift.prepare(np.random.default_rng(7).normal(size=400), np.arange(400) // 40)
    for far in (1e200, -1e300, math.inf):
        assert drift.ks([far] * 30, reference).p_value < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_infinities_count_alike_in_statistics_and_evidence(name: str) -> None:
    reference = drift.prepare(np.random.default_rng(7).normal(size=400), np.arange(400) // 40)
    assert reference.chunks is not None
    for window in ([math.inf] * 30, [math.inf, -math.inf, math.nan, 0.0]):
        known = np.count_nonzero(~np.isnan(window))
        assert drift.NUMERIC[name](window, reference).n == known
        assert {signal.size for signal in chunks.signals(window, reference.chunks)} == {known}
    level, _ = chunks.signals([math.inf] * 30, reference.chunks)
    assert max(chunks.shift_p_value(value, level.size, spread) for value, spread in level.parts) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mask_hides_is_missing_and_what_is_no_number_is_refused(name: str) -> None:
    masked = np.ma.masked_array([1.0, 50.0, 2.0], mask=[False, True, False])
    assert drift.NUMERIC[name](masked, [1.0, 2.0, 3.0]) == drift.NUMERIC[name]([1.0, 2.0], [1.0, 2.0, 3.0])
    for wrong in ([1 + 2j], ["a"], np.array(["2026-01-01"], dtype="datetime64[D]")):
        with pytest.raises(ValueError, match="real numbers"):
            drift.NUMERIC[name](wrong, [1.0, 2.0])


@pytest.mark.parametrize(
    "groups", [[0, 1], [0, None, 1], [0.0, math.nan, 1.0], np.ma.masked_array([0, 1, 2], [True, False, False])]
)
def test_each_value_needs_its_group(groups: ArrayLike) -> None:
    with pytest.raises(ValueError, match="each row needs its group"):
        drift.prepare([1.0, 2.0, 3.0], groups)
    with pytest.raises(ValueError, match="each row needs its group"):
        prepare_classes([[1, 2], [3, 4], [5, 6]], groups)


def test_chi_square_contract() -> None:
    assert math.isnan(chi_square([0, 0], [3, 4]).statistic)
    assert chi_square([0, 0], [3, 4]).n == 0
    assert math.isnan(chi_square(np.zeros((0, 2)), [3, 4]).effect)
    assert chi_square([4], [9]).p_value == 1
    assert chi_square([[1, math.nan], [2, 3]], [3, 3]).n == 6
    with pytest.raises(ValueError, match="same classes"):
        chi_square([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="not negative"):
        chi_square([-1, 2], [1, 2])
    with pytest.raises(ValueError, match="at least 1"):
        chi_square([1, 2], [1, 2], deff=0.5)
    with pytest.raises(ValueError, match="at least 1"):
        drift.ks([1, 2], [1, 2], deff=0.5)


# -- chunks of time -------------------------------------------------------------------------------------------------


def test_design_effect_equals_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(7)
    values, groups = healthy(rng, (6, 24), 0.2, 0.5), np.repeat(np.arange(6), 24)
    f = stats.f_oneway(*values).statistic  # B / W, from which icc = (F - 1) / (F + m - 1) for equal chunks
    assert chunks.design_effect(values, groups) == pytest.approx(1 + 23 * (f - 1) / (f + 23), rel=1e-12)
    order = rng.permutation(144)
    assert chunks.design_effect(values.ravel()[order], groups[order]) == pytest.approx(1 + 23 * (f - 1) / (f + 23))


@pytest.mark.parametrize("deff", [1, 2, 5])
def test_design_effect_finds_the_one_it_was_made_with(deff: float) -> None:
    rng = np.random.default_rng(int(deff))
    sizes = rng.integers(12, 37, 400)  # unequal, mean 24
    values = np.concatenate([healthy(rng, (1, size), (deff - 1) / 23, 0)[0] for size in sizes])
    assert chunks.design_effect(values, np.repeat(np.arange(400), sizes)) == pytest.approx(deff, rel=0.15)


def test_design_effect_is_one_where_nothing_tells() -> None:
    assert chunks.design_effect([], []) == 1
    assert chunks.design_effect([1.0, 2.0, 3.0], [0, 0, 0]) == 1
    assert chunks.design_effect([1.0, 2.0], [0, 1]) == 1
    assert chunks.design_effect([4.0] * 6, [0, 0, 1, 1, 2, 2]) == 1
    assert chunks.design_effect([math.nan, 1, 2, math.inf, 3], [0, 0, 0, 1, 1]) >= 1
    with pytest.raises(ValueError, match="its group"):
        chunks.design_effect([1.0, 2.0], [0])


def test_design_effect_of_counts_is_the_number_of_copies() -> None:
    rng = np.random.default_rng(8)
    one = rng.multinomial(1, [0.5, 0.3, 0.2], 20000)
    assert chunks.design_effect_counts(one) == pytest.approx(1, abs=0.02)
    assert chunks.design_effect_counts(one * 4) == pytest.approx(4, rel=0.02)  # four boxes of one class per image
    assert chunks.design_effect_counts(np.zeros((3, 2))) == 1
    assert chunks.design_effect_counts([[3, 0], [4, 0]]) == 1


def test_a_reference_of_one_chunk_gives_no_p_value() -> None:
    reference = np.random.default_rng(9).normal(size=40)
    assert math.isnan(drift.ks(reference, drift.prepare(reference, np.zeros(40))).p_value)
    boxes = prepare_classes(np.ones((4, 2)), np.zeros(4))
    assert math.isnan(chi_square(np.ones((4, 2)), boxes).p_value)


def test_p_values_of_chunk_means_are_students_t() -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(size=(7, 30))
    spread = chunks.spread_of_means(values, np.repeat(np.arange(7), 30))
    assert spread is not None
    means, window = values.mean(axis=1), 0.4
    t = (window - means.mean()) / (means.std(ddof=1) * math.sqrt(1 + 1 / 7))
    assert float(chunks.shift_p_value(window, 30, spread)) == pytest.approx(2 * stats.t.sf(t, 6), rel=1e-12)


@pytest.mark.parametrize(("count", "size"), [(3, 24), (6, 24), (8, 16)])
@pytest.mark.parametrize("deff", [1, 2, 5])
def test_false_alarms_far_into_the_tail(count: int, size: int, deff: float) -> None:
    """400,000 healthy windows: the level of 1e-4, which a daily test over many features needs, is held."""
    rng = np.random.default_rng(count)
    icc, runs = (deff - 1) / (size - 1), 400_000
    between = math.sqrt(icc + (1 - icc) / size)  # of chunk means, which are all the level's test looks at
    means = between * rng.standard_normal((runs, count + 1))
    centre, variance = means[:, :count].mean(axis=1), means[:, :count].var(axis=1, ddof=1)
    # the same question put in units of each run's own spread, so that one call answers all runs
    spread = chunks.Spread(0.0, 1.0, 0.0, size, count)
    p_values = chunks.shift_p_value((means[:, count] - centre) / np.sqrt(variance), size, spread)
    for alpha in (1e-2, 1e-3, 1e-4):
        rate = np.mean(p_values <= alpha)
        assert rate <= alpha + 3 * math.sqrt(alpha / runs), f"{rate:.2g} false alarms at {alpha}"


SHAPES = {
    "normal": lambda z: z,
    "skewed": np.exp,
    "bounded": lambda z: np.round(1 / (1 + np.exp(-2 - z)), 3),
    "counts": lambda z: np.searchsorted([0.607, 0.910, 0.986, 0.998], stats.norm.cdf(z)),  # Poisson, mean 0.5
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("icc", "phi"), [(0.17, 0.0), (0.1, 0.6)])
def test_false_alarms_of_ks_with_day_effects(shape: str, icc: float, phi: float) -> None:
    rng = np.random.default_rng(11)
    runs, groups = 1000, np.repeat(np.arange(6), 24)
    data = SHAPES[shape](healthy(rng, (runs, 7, 24), icc, phi))
    p_values = np.array([drift.ks(run[6], drift.prepare(run[:6], groups)).p_value for run in data])
    assert np.mean(p_values <= 0.01) <= 0.01 + 3 * math.sqrt(0.01 / runs)
    assert np.mean(p_values <= 0.001) <= 0.001 + 3 * math.sqrt(0.001 / runs)


def test_without_chunks_ks_cries_wolf() -> None:
    """Why chunks are needed: the textbook p-value on the same healthy windows."""
    data = healthy(np.random.default_rng(12), (300, 7, 24), 0.17, 0.0)
    p_values = np.array([drift.ks(run[6], run[:6]).p_value for run in data])
    assert np.mean(p_values <= 0.01) > 0.05


def test_power_of_ks_with_chunks() -> None:
    rng = np.random.default_rng(13)
    found = {}
    for count, shift in ((6, 2), (20, 1), (20, 2)):
        data = healthy(rng, (200, count + 1, 24), 0.0, 0.0)
        groups = np.repeat(np.arange(count), 24)
        p_values = [drift.ks(run[count] + shift, drift.prepare(run[:count], groups)).p_value for run in data]
        found[count, shift] = np.mean(np.array(p_values) <= 0.001)
    assert found[6, 2] > 0.7
    assert found[20, 1] > 0.65
    assert found[20, 2] == 1


def test_detectable_shift_is_found_in_half_of_all_windows() -> None:
    rng = np.random.default_rng(14)
    data, groups = healthy(rng, (300, 9, 24), 0.1, 0.3), np.repeat(np.arange(8), 24)
    found = []
    for run in data:
        prepared = drift.prepare(run[:8], groups)
        shift = chunks.detectable_shift(prepared.chunks, 24, 0.001)
        found.append(chunks.chunk_p_value(run[8] + shift, prepared.chunks) <= 0.001)
    assert 0.35 < np.mean(found) < 0.6


def test_a_wider_spread_is_found_where_there_are_many_images() -> None:
    rng = np.random.default_rng(15)
    prepared = drift.prepare(rng.normal(size=(15, 200)), np.repeat(np.arange(15), 200))
    assert drift.ks(rng.normal(0, 2, 200), prepared).p_value < 1e-4


def test_one_stray_value_is_no_drift() -> None:
    prepared = drift.prepare(np.zeros(144), np.repeat(np.arange(6), 24))
    assert drift.ks([*[0] * 23, 1], prepared).p_value > 0.5
    prepared = drift.prepare(np.random.default_rng(16).normal(size=144), np.repeat(np.arange(6), 24))
    window = np.random.default_rng(17).normal(size=24)
    window[0] = math.inf
    assert drift.ks(window, prepared).p_value > 0.01


# -- class mix ------------------------------------------------------------------------------------------------------


def street(rng: np.random.Generator, days: int, mix: np.ndarray, day_effect: float) -> np.ndarray:
    """Boxes (days * 24, classes): about three an image, alike within an image, and in days."""
    tables = []
    for _ in range(days):
        weights = mix * np.exp(day_effect * rng.standard_normal(mix.size))
        shares = rng.dirichlet(3 * weights / weights.sum(), 24)
        tables.append(rng.multinomial(rng.poisson(3, 24), shares))
    return np.concatenate(tables)


@pytest.mark.parametrize("day_effect", [0.0, 0.4])
@pytest.mark.parametrize("classes", [3, 30])
def test_false_alarms_of_the_class_mix(day_effect: float, classes: int) -> None:
    rng = np.random.default_rng(classes)
    mix = 0.7 ** np.arange(classes) + 0.002
    honest, plain = [], []
    for _ in range(500):
        table = street(rng, 7, mix / mix.sum(), day_effect)
        current, reference = table[:24], table[24:]
        honest.append(chi_square(current, prepare_classes(reference, np.repeat(np.arange(6), 24))).p_value)
        plain.append(chi_square(current, reference).p_value)
    assert np.mean(np.array(honest) <= 0.01) <= 0.01 + 3 * math.sqrt(0.01 / 500)
    assert np.mean(np.array(plain) <= 0.01) > 0.05


def test_a_new_class_and_a_shifted_mix_are_found() -> None:
    rng = np.random.default_rng(18)
    mix = np.array([0.5, 0.3, 0.2, 0.0])
    reference = prepare_classes(street(rng, 10, mix + 1e-9, 0.1), np.repeat(np.arange(10), 24))
    new = street(rng, 1, np.array([0.4, 0.25, 0.15, 0.2]), 0.1)
    assert class_mix_p_value(new, reference) < 1e-4
    shifted = street(rng, 1, np.array([0.1, 0.3, 0.6, 1e-9]), 0.1)
    assert class_mix_p_value(shifted, reference) < 1e-3
    assert isinstance(reference, ClassSample)
    with pytest.raises(ValueError, match="each row needs its group"):
        prepare_classes(np.ones((3, 2)), [0, 1])


# -- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("icc", [0.0, 0.2])
def test_normal_range_holds_95_percent_of_healthy_windows(icc: float) -> None:
    data, groups = healthy(np.random.default_rng(19), (2000, 7, 24), icc, 0.4), np.repeat(np.arange(6), 24)
    inside = 0
    for run in data:
        _, low, high = intervals.normal_range(run[:6], groups, 24)
        inside += low <= run[6].mean() <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_normal_range_of_independent_values_and_of_nothing() -> None:
    values = np.random.default_rng(20).normal(5, 2, 400)
    expected, low, high = intervals.normal_range(values, None, 100)
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) * math.sqrt(1 / 100 + 1 / 400)
    assert (expected, high - low) == pytest.approx((values.mean(), 2 * half), rel=1e-12)
    assert all(math.isnan(end) for end in intervals.normal_range([], None, 5))
    assert all(math.isnan(end) for end in intervals.normal_range([], [], 5))
    one_chunk = intervals.normal_range([1.0, 3.0, math.nan], [0, 0, 0], 5)
    assert one_chunk[0] == 2
    assert math.isnan(one_chunk[1])


def test_mean_interval_is_students() -> None:
    values = np.random.default_rng(21).normal(size=50)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert intervals.mean_interval(values)[1:] == pytest.approx((expected.low, expected.high), rel=1e-12)
    wide = intervals.mean_interval(values, deff=4)
    assert wide[2] - wide[1] > 2 * (expected.high - expected.low)
    assert intervals.mean_interval([3.0, math.nan])[0] == 3
    assert math.isnan(intervals.mean_interval([3.0])[1])
    assert all(math.isnan(end) for end in intervals.mean_interval([]))


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 17), (17, 17), (250, 1000)])
def test_wilson_equals_scipy(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    assert intervals.wilson(count, n) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)
    assert all(math.isnan(end) for end in intervals.wilson(0, 0))
    with pytest.raises(ValueError, match="between 0 and n"):
        intervals.wilson(3, 2)


# -- documentation --------------------------------------------------------------------------------------------------

PAGES = sorted((Path(__file__).parents[1] / "docs" / "reference" / "statistics").glob("*.md"))


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_examples_of_the_pages_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```pycon\n(.*?)```", text, flags=re.DOTALL))
    assert code, f"{page.name} has no example"
    example = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not failed, "".join(report)
    for heading in ("Question", "Formula", "Range and direction", "NaN, ties, constants, tiny samples", "Source"):
        assert f"**{heading}" in text, f"{page.name} lacks '{heading}'"


def test_every_statistic_has_a_page() -> None:
    pages = {page.stem for page in PAGES}
    assert {name.replace("_", "-") for name in (*drift.NUMERIC, *multivariate.ROWS, "chi_square")} <= pages


def test_the_index_names_every_page() -> None:
    index = next(page for page in PAGES if page.stem == "index").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[.*?\]\((.*?)\)", index, flags=re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in PAGES if page.stem != "index")


def test_a_large_sample_against_nothing_is_nan_and_no_error() -> None:
    many = np.random.default_rng(0).normal(size=300_000)
    for pair in ((np.array([]), many), (np.full(300_000, np.nan), many), (many, np.array([]))):
        for result in drift.compare(*pair).values():
            assert math.isnan(result.statistic)
            assert 0 in (result.n, result.n_reference)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_cramer_von_mises_of_yes_or_no_values_cries_no_wolf(share: float) -> None:
    """Mid-ranks, as scipy has them, put every pair of such samples below .001."""
    rng = np.random.default_rng(0)
    tails = [drift.cramer_von_mises(rng.random(24) < share, rng.random(300) < share).p_value for _ in range(600)]
    assert np.mean(np.array(tails) < 0.05) < 0.1
    assert np.mean(np.array(tails) < 0.001) < 0.01
    same = drift.cramer_von_mises([3] * 10, [3] * 20)
    assert (same.statistic, same.p_value) == (0.0, 1.0)
    apart = drift.cramer_von_mises([0] * 24, [1] * 300)
    assert apart.statistic == pytest.approx(24 * 300 / 324**2 * 24)
