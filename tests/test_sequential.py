"""Evidence over windows: exact Bayes factors, a budget that is kept and spent, short delays, onset, ramp, recovery."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy.signal import lfilter

from cvkit.stats.change import chunks, sequential
from cvkit.stats.change.chunks import Spread
from cvkit.stats.change.sequential import Component, Track

RNG = np.random.default_rng


def track(reference: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> Track:
    spread = Spread(float(reference.mean()), float(reference.var(ddof=1)), 0.0, 50.0, reference.size)
    return Track(spread, values, np.ones(values.size) if weights is None else weights)


def brute_force(reference: np.ndarray, values: np.ndarray, weights: np.ndarray, onset: int, scale: float) -> float:
    """Log Bayes factor by integrating the mean in matrices and the standard deviation numerically."""
    y = np.concatenate([reference, values])
    step = np.concatenate([np.zeros(reference.size), np.arange(values.size) >= onset])
    noise = np.diag(np.concatenate([np.ones(reference.size), 1 / weights]))

    def log_marginal(size: float) -> float:
        covariance = noise + size**2 * np.outer(step, step)
        inverse, ones = np.linalg.inv(covariance), np.ones(y.size)
        precision = ones @ inverse @ ones
        squares = (y - ones @ inverse @ y / precision) @ inverse @ (y - ones @ inverse @ y / precision)
        integral = integrate.quad(
            lambda log_s: math.exp(-(y.size - 1) * log_s - squares / 2 / math.exp(2 * log_s)), -5, 5, epsrel=1e-11
        )[0]
        return float(-0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * math.log(precision) + math.log(integral))

    return log_marginal(scale) - log_marginal(0.0)


@pytest.mark.parametrize("seed", range(3))
def test_bayes_factors_equal_brute_force_integration(seed: int) -> None:
    rng = RNG(seed)
    reference, values, weights = rng.normal(3, 2, 5), rng.normal(4, 2, 4), rng.uniform(0.3, 1, 4)
    found = sequential.log_bayes_factors(track(reference, values, weights))
    for onset in range(4):
        each = [brute_force(reference, values, weights, onset, scale) for scale in sequential.SCALES]
        assert found[onset] == pytest.approx(np.logaddexp.reduce(each) - math.log(len(each)), abs=1e-6)


def test_shift_and_scale_of_the_unit_change_nothing() -> None:
    reference, values = RNG(0).normal(size=12), RNG(1).normal(size=20)
    plain = sequential.log_bayes_factors(track(reference, values))
    np.testing.assert_allclose(sequential.log_bayes_factors(track(7 - 300 * reference, 7 - 300 * values)), plain)


def log_sums(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Log of the Shiryaev-Roberts sum of many streams (streams, windows)."""
    distances, between = values - reference.mean(axis=1)[:, None], reference.var(axis=1, ddof=1)
    chunks, sums = reference.shape[1], np.empty(values.shape)
    for seen in range(1, values.shape[1] + 1):
        logs = sequential.step_factors(distances[:, :seen], np.ones(seen), between, chunks)
        sums[:, seen - 1] = np.logaddexp.reduce(logs, axis=1)
    return sums


@pytest.mark.parametrize("chunks", [4, 12, 60])
def test_the_budget_of_false_alarms_is_kept_and_spent(chunks: int) -> None:
    rng, streams, windows, share = RNG(chunks), 1500, 120, 0.1
    limit = sequential.log_limit(share, 1, windows)  # one alarm in ten streams of 120 windows
    sums = log_sums(rng.normal(size=(streams, chunks)), rng.normal(size=(streams, windows)))
    alarmed = np.mean((sums >= limit).any(axis=1))
    assert 0.4 * share < alarmed < share + 3 * math.sqrt(share * (1 - share) / streams)


@pytest.mark.parametrize(("shift", "most"), [(1.0, 30), (2.0, 8), (4.0, 3), (7.0, 1)])
def test_a_change_is_found_soon(shift: float, most: int) -> None:
    rng, streams, quiet = RNG(5), 200, 30
    values = rng.normal(size=(streams, quiet + 50))
    values[:, quiet:] += shift
    limit = sequential.log_limit(1.0, 90, 365)
    late = (log_sums(rng.normal(size=(streams, 60)), values) >= limit)[:, quiet:]
    assert np.median(np.where(late.any(axis=1), late.argmax(axis=1) + 1, 99)) <= most


def test_the_onset_lies_in_its_range_most_times() -> None:
    hits, spans = 0, []
    for seed in range(100):
        rng = RNG(seed)
        values = rng.normal(size=40)
        values[25:] += 2
        found = sequential.weigh([Component(1.0, (track(rng.normal(size=40), values),))])
        hits += found.first <= 25 <= found.last
        spans.append(found.last - found.first)
    assert hits >= 80
    assert np.median(spans) < 8


def test_ramps_and_steps_are_told_apart() -> None:
    steps, ramps = [], []
    for seed in range(40):
        rng = RNG(seed)
        quiet, reference = rng.normal(size=60), rng.normal(size=40)
        steps.append(sequential.gradual(track(reference, quiet + 3 * (np.arange(60) >= 40))))
        ramps.append(sequential.gradual(track(reference, quiet + 0.3 * np.maximum(0, np.arange(60) - 40))))
    assert np.median(steps) < 0.1
    assert np.median(ramps) > 0.9
    assert math.isnan(sequential.gradual(track(reference, quiet[:3])))


def test_recovery_is_seen_and_dated() -> None:
    dates = []
    for seed in range(40):
        values = RNG(seed).normal(size=60)
        values[20:40] += 3
        whole = track(RNG(seed + 100).normal(size=40), values)
        found = sequential.recovery(whole, 20, 22)
        dates.append(None if found is None else found[0])
        assert sequential.recovery(Track(whole.spread, values[:40], np.ones(40)), 20, 22) is None
        for seen in range(40, 61):  # the window that tells so, and none before it
            early = sequential.recovery(Track(whole.spread, values[:seen], np.ones(seen)), 20, 22)
            assert early == (found if found and seen > found[1] else None)
    told = [date for date in dates if date is not None]
    assert len(told) >= 36
    assert np.median(told) in range(39, 42)
    assert np.mean([39 <= date <= 43 for date in told]) > 0.8


def test_all_tracks_of_a_component_must_speak() -> None:
    reference, values = RNG(0).normal(size=30), RNG(1).normal(size=10)
    loud, silent = track(reference, values + 5), track(reference, values)
    alone = sequential.weigh([Component(1.0, (silent,))]).log_sum
    assert sequential.weigh([Component(1.0, (loud, silent))]).log_sum == pytest.approx(alone)
    both = sequential.weigh([Component(0.5, (loud,)), Component(0.5, (silent,))])
    assert both.log_sum > alone + 5
    assert both.leading == 0


def test_nothing_known_is_no_evidence() -> None:
    constant = track(np.full(6, 2.0), np.full(5, 2.0))
    assert sequential.log_bayes_factors(constant).tolist() == [0.0] * 5
    assert sequential.weigh([Component(1.0, (constant,))]).log_sum == pytest.approx(math.log(5))
    changed = track(np.full(30, 2.0), np.array([2.0, 2.0, 2.5]))  # what never varied has moved
    assert sequential.weigh([Component(1.0, (changed,))]).log_sum > 20
    empty = sequential.weigh([Component(1.0, (track(np.arange(5.0), np.empty(0)),))])
    assert (empty.log_sum, empty.onset) == (-math.inf, -1)
    assert sequential.weigh([]).onset == -1
    untold = track(np.arange(5.0), np.array([np.nan, 3.0]), np.array([0.0, 1.0]))
    alone = track(np.arange(5.0), np.array([3.0]))
    assert sequential.log_bayes_factors(untold)[-1] == pytest.approx(sequential.log_bayes_factors(alone)[-1])


def test_a_small_window_weighs_less_and_an_empty_one_nothing() -> None:
    spread = Spread(0.0, 1.0, 30.0, 50.0, 10)
    assert sequential.window_weight(spread, 0.1, 50) == 1.0
    assert 0 < sequential.window_weight(spread, 0.1, 5) < 0.2
    assert sequential.window_weight(spread, 0.1, 5000) == 1.0  # many images of one day are still one day
    assert sequential.window_weight(spread, math.nan, 50) == sequential.window_weight(spread, 0.1, 0) == 0.0


def test_the_limit_grows_with_streams_and_falls_with_the_budget() -> None:
    limits = [sequential.log_limit(budget, 90, 365) for budget in (0.05, 1, 12, 1e9)]
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == 0.0
    assert sequential.log_limit(1, 180, 365) > sequential.log_limit(1, 90, 365)


# -- neighbouring windows that are alike ----------------------------------------------------------------------------


def alike(rng: np.random.Generator, series: int, windows: int, likeness: float) -> np.ndarray:
    noise = rng.normal(size=(series, 50 + windows)) * math.sqrt(1 - likeness**2)
    return lfilter([1.0], [1.0, -likeness], noise, axis=1)[:, 50:]


@pytest.mark.parametrize("likeness", [0.0, 0.3, 0.7])
def test_memory_is_the_autocorrelation_of_neighbours(likeness: float) -> None:
    found = chunks.memory(alike(np.random.default_rng(0), 4000, 60, likeness))
    assert np.median(found) == pytest.approx(likeness, abs=0.04)
    assert found.min() >= 0


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_limit_needs_a_budget_streams_and_windows(wrong: float) -> None:
    for given in ((wrong, 9, 365.0), (1.0, wrong, 365.0), (1.0, 9, wrong)):
        with pytest.raises(ValueError, match="above 0 and finite"):
            sequential.log_limit(*given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 or more"):
        sequential.log_limit(1.0, 0.5, 365.0)  # type: ignore[arg-type]


def test_a_window_without_a_value_weighs_nothing() -> None:
    spread = Spread(0.0, 1.0, 1.0, 20.0, 9)
    for values, weights in (([1.0, math.nan], [1.0, 1.0]), ([1.0], [1.0, 1.0]), ([1.0], [1.5]), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="weight"):
            Track(spread, np.array(values), np.array(weights))
    assert Track(spread, np.array([1.0, math.nan]), np.array([1.0, 0.0])).distances.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="without a finite value"):
        Track(spread, np.ma.masked_array([1.0, 2.0], [False, True]), np.ones(2))
    with pytest.raises(ValueError, match="real numbers"):
        Track(spread, np.array([1j]), np.ones(1))  # type: ignore[arg-type]


def test_memory_needs_chunks_and_variation() -> None:
    assert chunks.memory(np.arange(7.0)) == 0
    assert chunks.memory(np.ones(30)) == 0
    assert chunks.memory(np.arange(300.0)) == chunks.MOST_MEMORY


@pytest.mark.parametrize("likeness", [0.0, 0.5, 0.9])
def test_growth_is_the_variance_of_a_mean_of_alike_windows(likeness: float) -> None:
    covariance = likeness ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    expected = [covariance[onset:, onset:].mean() * (12 - onset) for onset in range(12)]
    assert sequential.growth(likeness, 12) == pytest.approx(expected)


def test_days_that_are_alike_raise_few_false_alarms_where_the_reference_knows_it() -> None:
    """400 years of a stream whose days are alike .6, at one false alarm in ten years: unknown, nearly all raise one."""
    days = alike(np.random.default_rng(1), 400, 60 + 365, 0.6)
    reference, values = days[:, :60], days[:, 60:]
    limit = sequential.log_limit(0.1, 1, 365)
    raised = {}
    for name, memory in (("known", chunks.memory(reference)), ("ignored", 0.0)):
        crossed = np.zeros(400, bool)
        for seen in range(5, 366, 20):
            logs = sequential.step_factors(
                values[:, :seen] - reference.mean(axis=1)[:, None],
                np.ones(seen),
                reference.var(axis=1, ddof=1),
                60,
                memory,
            )
            crossed |= np.logaddexp.reduce(logs, axis=1) >= limit
        raised[name] = crossed.mean()
    assert raised["known"] < 0.2
    assert raised["ignored"] > 0.9


def test_a_change_that_eases_but_lasts_is_no_recovery() -> None:
    """The window of the alarm was an extreme one; what lasts is half of it."""
    spread = Spread(0.0, 1.0, 0.0, 50.0, 60)
    values = np.array([0.1, -0.2, 9.0, 4.0, 4.2, 3.9, 4.1, 4.0, 0.1, -0.1, 0.2])
    track = Track(spread, values, np.ones(11))
    assert sequential.recovery(Track(spread, values[:8], np.ones(8)), 2, 2) is None
    assert sequential.recovery(track, 2, 2) == (8, 9)


def test_what_came_back_by_most_of_the_way_is_no_recovery() -> None:
    """As of a model that found nothing for days, and then four objects of five."""
    spread = Spread(0.99, 0.05**2, 0.0, 1.0, 20)
    values = np.array([0.99] * 6 + [0.0] * 9 + [0.8, 0.74, 0.7, 0.62, 0.5, 0.41, 0.35, 0.32])
    assert sequential.recovery(Track(spread, values, np.ones(values.size)), 6, 6) is None
    healed = np.append(values[:15], [0.98, 1.0, 0.97, 0.99])
    assert sequential.recovery(Track(spread, healed, np.ones(healed.size)), 6, 6) == (15, 16)
