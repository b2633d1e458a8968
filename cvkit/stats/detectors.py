"""cvkit's detectors as scikit-learn knows them: `fit` on what is normal, `score_samples`, higher = more normal.

They are thin: what is computed stands in `cvkit.stats.anomaly` and `cvkit.stats.change.drift`.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from cvkit.stats import anomaly, correction
from cvkit.stats.arrays import Floats, names
from cvkit.stats.change import drift


class _Detector(BaseEstimator):  # type: ignore[misc]
    """What both share: rows (n, d) of numbers, in which values may be missing or infinite."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _rows(self, X: ArrayLike, *, first: bool = False) -> Floats:  # noqa: N803
        fewest = anomaly.FEWEST if first else 1
        rows: Floats = validate_data(
            self, X, reset=first, dtype=np.float64, ensure_all_finite=False, ensure_min_samples=fewest
        )
        return rows


class AnomalyDetector(OutlierMixin, _Detector):  # type: ignore[misc]
    """Single rows unlike any that are normal (`anomaly.fit`, `anomaly.score`, `anomaly.p_values`).

    method: "mahalanobis" or "neighbours". level: share of normal rows that `predict` may call odd. align: first move
    the rows given together so that their median is the normal ones', as cvkit does with a window: then what is told of
    a row depends on the others. seed: of the parts that the normal rows are divided into.

    >>> normal = np.random.default_rng(0).normal(size=(200, 3))
    >>> AnomalyDetector().fit(normal).predict([[0, 0, 0], [9, 9, 9]])
    array([ 1, -1])
    """

    def __init__(
        self,
        method: Literal["mahalanobis", "neighbours"] = "mahalanobis",
        *,
        level: float = 0.01,
        align: bool = False,
        seed: int = 0,
    ) -> None:
        self.method, self.level, self.align, self.seed = method, level, align, seed

    def fit(self, X: ArrayLike, y: object = None, groups: ArrayLike | None = None) -> Self:  # noqa: N803
        """Learn from normal rows (n, d); `groups` (n,) names each one's chunk of time. Raises ValueError on too few."""
        self.normal_ = anomaly.fit(self._rows(X, first=True), groups, method=self.method, seed=self.seed)
        self.offset_ = -float(np.quantile(self.normal_.calibration, 1 - self.level))
        return self

    def score_samples(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Minus the strangeness (n,), in standard deviations, roughly; NaN for rows without any finite value."""
        check_is_fitted(self)
        return -anomaly.score(self.normal_, self._rows(X), align=self.align)

    def decision_function(self, X: ArrayLike) -> Floats:  # noqa: N803
        """`score_samples` above `offset_` (n,): below 0 is odd."""
        return self.score_samples(X) - self.offset_

    def p_values(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Conformal p-values (n,), see `anomaly.p_values`."""
        return anomaly.p_values(self.normal_, -self.score_samples(X))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """1 for normal rows, -1 for odd ones (n,); what cannot be told is not called odd."""
        return np.where(self.decision_function(X) < 0, -1, 1)


class DriftDetector(_Detector):
    """Windows of rows that lie elsewhere than the reference's (`drift.compare`, column by column).

    statistic: one of `drift.NUMERIC`; `predict` needs one with a p-value, "ks" or "cramer_von_mises". level: p-value up
    to which a window is called shifted.

    A window is what is judged: `groups` name each row's, a day of a camera for instance, and all rows of one get one
    answer. Without `groups` the rows given together are one window.

    >>> reference = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = DriftDetector().fit(reference)
    >>> detector.predict(reference[:50] + 1)[:3]
    array([-1, -1, -1])
    """

    def __init__(self, statistic: str = "ks", *, level: float = 0.01) -> None:
        self.statistic, self.level = statistic, level

    def fit(self, X: ArrayLike, y: object = None, groups: ArrayLike | None = None) -> Self:  # noqa: N803
        """Prepare the reference's rows (n, d); `groups` (n,) names each one's chunk of time, for honest p-values.

        Raises ValueError on an unknown statistic.
        """
        if self.statistic not in drift.NUMERIC:
            raise ValueError(f"statistic is one of {', '.join(drift.NUMERIC)}, not {self.statistic!r}")
        rows = self._rows(X, first=True)
        self.samples_ = [drift.prepare(column, groups) for column in rows.T]
        return self

    def score_samples(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:  # noqa: N803
        """Minus the effect of each row's window (n,): of the column that moved furthest, in reference deviations.

        `groups` (n,) names each row's window; without, all are one. NaN where no column has values.
        """
        return self._told(X, groups, lambda found: -max((one.effect for one in found if one.n), default=np.nan))

    def p_values(self, X: ArrayLike, groups: ArrayLike | None = None) -> Floats:  # noqa: N803
        """The smallest p-value of the columns of each row's window (n,), corrected for their number (Holm)."""
        return self._told(X, groups, lambda found: _smallest(np.array([one.p_value for one in found])))

    def predict(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray[np.int64]:  # noqa: N803
        """1 for rows of windows as ever, -1 for those of shifted ones (n,); what cannot be told is not shifted."""
        return np.where(self.p_values(X, groups) <= self.level, -1, 1)

    def _told(self, X: ArrayLike, groups: ArrayLike | None, of: Any) -> Floats:  # noqa: N803
        check_is_fitted(self)
        rows = self._rows(X)
        windows = (
            np.zeros(len(rows), int) if groups is None else np.unique(names(groups, len(rows)), return_inverse=True)[1]
        )
        told = np.empty(len(rows))
        for window in range(int(windows.max(initial=0)) + 1):
            members = windows == window
            pairs = zip(rows[members].T, self.samples_, strict=True)
            told[members] = of([drift.compare(now, then, [self.statistic])[self.statistic] for now, then in pairs])
        return told


def _smallest(p_values: Floats) -> float:
    known = correction.holm(p_values)
    return float(np.nanmin(known)) if np.isfinite(known).any() else float("nan")
