"""Evidently: a window and its reference as Evidently data sets, its interactive page, and its numbers for the history.

Evidently decides nothing here: verdicts come from `monitoring.rules`. Its page is for looking closer at one window. It
uses cvkit's own Kolmogorov-Smirnov test, which knows that the images of one day are alike, and cvkit's own PSI, both
registered with Evidently as `cvkit_ks` and `cvkit_psi`, and as rules the ranges learnt from the reference. Evidently
takes seconds to import, so that happens inside functions only, with its telemetry off.
"""

from __future__ import annotations

import html
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cvkit.config import RuleSettings
from cvkit.documentation import evidently_rows
from cvkit.documentation.evidently_rows import ROWS, Sides
from cvkit.errors import ReportError
from cvkit.monitoring.alarms import DAYS_A_YEAR
from cvkit.monitoring.monitor import Observation
from cvkit.stats.change import drift
from cvkit.storage import replacing
from cvkit.tables import MEASUREMENTS, PROPERTIES, Window, conform

MOST_BYTES = 5_000_000  # of a page; 3.7 MB of it are Evidently's own scripts
PSI_LIMIT = 0.2  # PSI beyond what noise makes of it that counts as drift: Siddiqi's "significant" change
CATEGORY_LIMIT = 0.1  # Jensen-Shannon distance of a category's shares that counts as drift: Evidently's default
DRIFT_SHARE = 0.5  # share of drifted columns at which Evidently calls the whole data set drifted: its default
ALL_FEATURES = "all_features"  # stands where a measurement is about every feature together

# Whatever Evidently puts into its page, the browser asks no other machine for anything.
NO_REQUESTS = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What Evidently made of a window: made by `compare`."""

    window: Window
    source: str
    sides: Sides
    alpha: float  # the p-value at which a numeric feature counts as drifted
    snapshot: Any  # evidently.core.report.Snapshot


def datasets(observation: Observation, source: str = "", rows: int = ROWS) -> tuple[Any, Any]:
    """The window and its reference as two `evidently.Dataset`, current first, with one `DataDefinition`.

    Numerical: properties and prediction features with a finite value on both sides; infinities are missing values.
    Categorical: source, mode and file format, where there is something to compare. `time` is in UTC without a zone,
    and the timestamp where every image has one; `image_id` is the id. Readable images, each content once, of `source`
    or of all together; of more than `rows`, as many, drawn evenly over time and always the same.
    Raises DataError where a side has no image or no column is left to compare.
    """
    return _datasets(evidently_rows.sides(observation, source, rows))


def compare(
    observation: Observation, source: str = "", rules: RuleSettings | None = None, rows: int = ROWS
) -> Comparison:
    """Run Evidently on a window: once, for both the page and the numbers.

    Numeric features: cvkit's Kolmogorov-Smirnov test at the rules' false alarms of drift a year, shared out over
    windows and features (Bonferroni), and cvkit's PSI with `PSI_LIMIT` added to what noise makes of it. Categories:
    Jensen-Shannon distance, which is an effect and no evidence. Rules: at least `minimum_images` images, and at most
    `quality_warning` of them out of the range learnt from the reference. Features that the rules ignore are left out.
    Raises DataError as `datasets`, ReportError where Evidently fails on the values.
    """
    rules = rules or RuleSettings()
    sides = evidently_rows.sides(observation, source, rows, rules.ignore)
    days = (observation.window.end - observation.window.start) / timedelta(days=1)
    budget = rules.false_alarms_per_year * rules.drift_share * days / DAYS_A_YEAR
    alpha = min(1.0, budget) / max(1, len(sides.numeric))
    with _evidently():
        from evidently import Report

        register_tests()
        metrics = [*_drift_metrics(sides, alpha), *_rule_metrics(sides, _ranges(observation, source), rules)]
        try:
            snapshot = Report(metrics, include_tests=True).run(*_datasets(sides))
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # what Evidently raises on odd values
            raise ReportError(
                "Evidently could not compare this window, so its report was not written",
                where=evidently_rows.place(observation, source), found=f"{type(error).__name__}: {error}"[:300],
                remedy="have the rules ignore the feature it names; verdicts do not depend on Evidently",
            ) from error  # fmt: skip
    return Comparison(observation.window, source, sides, alpha, snapshot)


def write_report(compared: Comparison, path: Path) -> Path:
    """Write Evidently's interactive page to `path`, whole or not at all; it says what it was made from.

    The page needs no other file and asks no other machine for anything. Raises ReportError where it would be larger
    than `MOST_BYTES`, StorageError where it cannot be written.
    """
    with _evidently():
        page = compared.snapshot.get_html_str(as_iframe=False)
    content = _dressed(page, compared).encode("utf-8", errors="replace")
    if len(content) > MOST_BYTES:
        raise ReportError(
            "Evidently's page is too large and was not written", where=str(path),
            expected=f"at most {MOST_BYTES / 1e6:g} MB", found=f"{len(content) / 1e6:.1f} MB",
            remedy="ask for one source, or have the rules ignore some features",
        )  # fmt: skip
    with replacing(path) as part:
        part.write_bytes(content)
    return path


def summary(compared: Comparison) -> pd.DataFrame:
    """Evidently's numbers about a window, as a table MEASUREMENTS.

    `evidently_drift_share`: share 0-1 of the columns it calls drifted (feature `all_features`). `evidently_ks`: the
    p-value of cvkit's test. `evidently_psi`: value, and as `expected` what noise alone makes of it.
    `evidently_jensen_shannon`: distance 0-1 of a category's shares. `evidently_out_of_range`: share 0-1 outside the
    reference's range. `n`, `n_reference`: rows used, after sampling. No verdict is drawn from any of them.
    """
    sides = compared.sides
    here = {"source": compared.source, "n": len(sides.current), "n_reference": len(sides.reference)}
    found = (_row(metric["config"], metric["value"], sides) for metric in compared.snapshot.dict()["metrics"])
    return conform(pd.DataFrame([{**here, **row} for row in found if row]), MEASUREMENTS)


def register_tests() -> None:
    """Make cvkit's tests known to Evidently by name: `cvkit_ks` and `cvkit_psi`, for numerical columns.

    Usable wherever Evidently takes a method, on data sets from `datasets`: the test reads the reference's chunks of
    time from its index. Without them (an index that holds no times) images are taken as independent.
    """
    with _evidently():
        from evidently.legacy.calculations.stattests import StatTest, register_stattest
        from evidently.legacy.core import ColumnType

        tests: list[tuple[str, str, float, Callable[..., tuple[float, bool]]]] = [
            ("cvkit_ks", "cvkit KS p-value", 0.05, _ks_test),
            ("cvkit_psi", "cvkit PSI", PSI_LIMIT, _psi_test),
        ]
        for name, words, threshold, function in tests:
            register_stattest(StatTest(name, words, [ColumnType.Numerical], threshold), function)


def _ks_test(reference: pd.Series, current: pd.Series, kind: object, threshold: float) -> tuple[float, bool]:
    """As Evidently calls it: the p-value, NaN where there is none, and whether it counts as drift."""
    chunks = pd.factorize(reference.index)[0] if isinstance(reference.index, pd.DatetimeIndex) else None
    result = drift.ks(current.to_numpy(float), drift.prepare(reference.to_numpy(float), chunks))
    return result.p_value, bool(result.p_value <= threshold)


def _psi_test(reference: pd.Series, current: pd.Series, kind: object, threshold: float) -> tuple[float, bool]:
    result = drift.psi(current.to_numpy(float), reference.to_numpy(float))
    return result.statistic, bool(result.statistic > threshold)


@contextmanager
def _evidently() -> Iterator[None]:
    """Evidently with its telemetry off, and without its warnings about small or constant columns."""
    os.environ["DO_NOT_TRACK"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _datasets(sides: Sides) -> tuple[Any, Any]:
    with _evidently():
        from evidently import DataDefinition, Dataset

        definition = DataDefinition(
            id_column="image_id", timestamp="time" if "time" in sides.current else None,
            numerical_columns=list(sides.numeric), categorical_columns=list(sides.categories),
        )  # fmt: skip
        current, reference = (
            Dataset.from_pandas(side, data_definition=definition) for side in (sides.current, sides.reference)
        )
    return current, reference


# -- what is asked of it --------------------------------------------------------------------------------------------


def _drift_metrics(sides: Sides, alpha: float) -> list[Any]:
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset

    preset = DataDriftPreset(
        drift_share=DRIFT_SHARE, num_method="cvkit_ks", num_threshold=alpha,
        cat_method="jensenshannon", cat_threshold=CATEGORY_LIMIT,
    )  # fmt: skip
    return [
        preset,
        *(
            ValueDrift(column=name, method="cvkit_psi", threshold=round(PSI_LIMIT + _noise(sides, name), 3))
            for name in sides.numeric
        ),
    ]


def _noise(sides: Sides, feature: str) -> float:
    """What PSI comes to where nothing has changed, at these numbers of values."""
    return drift.psi_expected(int(sides.current[feature].count()), int(sides.reference[feature].count()))


def _rule_metrics(sides: Sides, ranges: dict[str, tuple[float, float]], rules: RuleSettings) -> list[Any]:
    from evidently.metrics import OutRangeValueCount, RowCount
    from evidently.tests import gte, lte

    enough = sides.n >= rules.minimum_images  # Evidently counts the rows of the sample
    fewest = min(rules.minimum_images, len(sides.current)) if enough else rules.minimum_images
    return [
        RowCount(tests=[gte(fewest)]),
        *(
            OutRangeValueCount(column=name, left=low, right=high, share_tests=[lte(rules.quality_warning)])
            for name, (low, high) in ranges.items()
            if name in sides.numeric
        ),
    ]


def _ranges(observation: Observation, source: str) -> dict[str, tuple[float, float]]:
    """The range of each property that is not a finding; for all sources together, the hull of theirs."""
    reference = observation.reference
    part = reference.part(source) if source else None
    limits = [*reference.limits.values()] if part is None else [reference.limits[part]]
    ranges = {}
    for name in PROPERTIES:
        ends = [known.ranges[name] for known in limits if name in known.ranges]
        hull = (min((low for low, _ in ends), default=np.nan), max((high for _, high in ends), default=np.nan))
        if np.isfinite(hull).all():
            ranges[name] = hull
    return ranges


# -- what comes out -------------------------------------------------------------------------------------------------


def _row(asked: dict[str, Any], value: Any, sides: Sides) -> dict[str, Any] | None:
    """One of Evidently's results as a row of MEASUREMENTS; None where it is none of those that are kept."""
    kind, feature, method = asked["type"].rpartition(":")[2], asked.get("column"), asked.get("method")
    if kind == "DriftedColumnsCount":
        return {"feature": ALL_FEATURES, "metric": "evidently_drift_share", "value": value["share"]}
    if feature is None:
        return None
    row = {"feature": feature, "n": sides.current[feature].count(), "n_reference": sides.reference[feature].count()}
    if kind == "OutRangeValueCount":
        return {**row, "metric": "evidently_out_of_range", "value": value["share"]}
    if method == "cvkit_ks":
        return {**row, "metric": "evidently_ks", "value": value, "p_value": value}
    if method == "cvkit_psi":
        return {**row, "metric": "evidently_psi", "value": value, "expected": _noise(sides, feature)}
    return {**row, "metric": "evidently_jensen_shannon", "value": value}


def _dressed(page: str, compared: Comparison) -> str:
    """Evidently's page with a title, words on what it was made from, and no way to ask other machines for anything."""
    head, charset, rest = page.partition('<meta charset="UTF-8">')
    middle, body, tail = rest.partition("<body>")
    if not charset or not body:
        raise ReportError(
            "Evidently's page is not built as expected and was not written",
            expected="a page of Evidently 0.7 with a head and a body", found=page[:60],
            remedy="install a version of Evidently that cvkit allows",
        )  # fmt: skip
    title = f"Evidently: {compared.window}" + (f", {compared.source}" if compared.source else "")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{NO_REQUESTS}">'
    titled = f"<title>{html.escape(title)}</title>"
    return "".join([head.lstrip(), charset, policy, titled, middle, body, _words(compared, title), tail])


def _words(compared: Comparison, title: str) -> str:
    """What the page was made from, for its reader."""
    sides = compared.sides
    timed = isinstance(sides.reference.index, pd.DatetimeIndex)
    chunks = "knows that images of one window are alike" if timed else "takes images as independent, for want of times"
    lines = [
        f"{_count(len(sides.current), sides.n)} of the window and {_count(len(sides.reference), sides.n_reference)} of "
        "the reference: readable ones, copies counted once.",
        f"Numbers are compared by cvkit's Kolmogorov-Smirnov test (drift where p is at most {compared.alpha:.2g}; its "
        f"p-value {chunks}) and by PSI (drift beyond {PSI_LIMIT:g} more than noise makes of it), categories by the "
        f"Jensen-Shannon distance (drift beyond {CATEGORY_LIMIT:g}). NaN: cannot be told, whatever is said beside it.",
        "No alarm is raised from this page: it looks at this window alone, cvkit's verdicts at all windows up to it.",
    ]
    if sides.left_out:
        lines.append("Not compared: " + "; ".join(f"{name} ({why})" for name, why in sides.left_out.items()) + ".")
    style = "font: 15px/1.5 sans-serif; max-width: 60em; margin: 1.5em auto; padding: 0 1em"
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<header style="{style}"><h1 style="font-size: 1.4em">{html.escape(title)}</h1>{text}</header>'


def _count(used: int, of: int) -> str:
    return f"{used:,} images" if used == of else f"{used:,} of {of:,} images, drawn evenly over time,"
