"""Correction for many tests: closed forms and what other implementations publish."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvkit.stats.correction import benjamini_hochberg, flags_p_value, holm

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def by_the_book(p_values: list[float]) -> list[float]:
    """The closed procedure: the largest Bonferroni-adjusted minimum over all sets of hypotheses holding this one."""
    m = len(p_values)
    sets = [[i for i in range(m) if mask >> i & 1] for mask in range(1, 2**m)]
    minima = [(chosen, min(1.0, len(chosen) * min(p_values[i] for i in chosen))) for chosen in sets]
    return [max(value for chosen, value in minima if i in chosen) for i in range(m)]


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),  # 5p, 4p, 3p, then held up
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the usual worked example of the method
        ([0.5], [0.5]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_worked_examples(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted, rel=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_equals_the_closed_procedure(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(by_the_book(p_values), rel=1e-12)


@given(p_lists)
def test_laws(p_values: list[float]) -> None:
    given_values, adjusted = np.array(p_values), holm(p_values)
    assert np.all(adjusted >= given_values)
    assert np.all(adjusted <= 1)
    assert np.all(adjusted <= np.minimum(1, given_values * len(p_values)) + 1e-15)  # never worse than Bonferroni
    order = np.argsort(given_values, kind="stable")
    assert np.all(np.diff(adjusted[order]) >= 0)
    assert holm(given_values[::-1])[::-1] == pytest.approx(adjusted, rel=1e-12)


@given(p_lists, st.integers(0, 5))
def test_nan_does_not_count(p_values: list[float], missing: int) -> None:
    adjusted = holm([*[math.nan] * missing, *p_values])
    assert np.isnan(adjusted[:missing]).all()
    np.testing.assert_array_equal(adjusted[missing:], holm(p_values))


def test_empty_and_invalid() -> None:
    assert holm([]).shape == (0,)
    assert np.isnan(holm([math.nan])).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.1, 1.2])


def test_family_wise_error_rate() -> None:
    rng = np.random.default_rng(0)
    false = np.mean([np.any(holm(rng.random(40)) <= 0.05) for _ in range(4000)])
    assert false <= 0.05 + 3 * math.sqrt(0.05 / 4000)


def test_flags_without_a_cause_are_as_likely_as_said() -> None:
    rng = np.random.default_rng(0)
    flags = [int((benjamini_hochberg(rng.random(24)) <= 0.3).sum()) for _ in range(20_000)]
    for count in (1, 2, 3):
        assert np.mean(np.array(flags) >= count) == pytest.approx(flags_p_value(count, 24, 0.3), abs=0.01)
    assert flags_p_value(1, 24, 0.3) == pytest.approx(0.3)
    assert flags_p_value(0, 24, 0.1) == 1.0
    assert flags_p_value(24, 24, 0.1) == pytest.approx(0.1**24)
