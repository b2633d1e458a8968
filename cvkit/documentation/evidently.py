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
from cvkit.errors import DataError, ReportError
from cvkit.monitoring.alarms import DAYS_A_YEAR
from cvkit.monitoring.monitor import Observation
from cvkit.stats import drift
from cvkit.storage import replacing
from cvkit.tables import MEASUREMENTS, PREDICTION_FEATURES, PROPERTIES, Window, conform

ROWS = 10_000  # most rows of either side: Evidently's time grows with them, its page hardly does
MOST_BYTES = 5_000_000  # of a page; 3.7 MB of it are Evidently's own scripts
PSI_LIMIT = 0.2  # PSI beyond what noise makes of it that counts as drift: Siddiqi's "significant" change
CATEGORY_LIMIT = 0.1  # Jensen-Shannon distance of a category's shares that counts as drift: Evidently's default
DRIFT_SHARE = 0.5  # share of drifted columns at which Evidently calls the whole data set drifted: its default
CATEGORIES = ("source", "mode", "file_format")
NAME_LENGTH = 60  # characters of a category's value that are shown
ALL_FEATURES = "all_features"  # stands where a measurement is about every feature together

# Whatever Evidently puts into its page, the browser asks no other machine for anything.
NO_REQUESTS = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Sides:
    """The rows Evidently gets: those of the window and those of the reference, with the same columns."""

    current: pd.DataFrame  # indexed by time, where known
    reference: pd.DataFrame  # indexed by the start of each image's chunk of time, where known
    numeric: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: dict[str, str]  # column -> why it is not compared
    n: int  # distinct readable images of the window, of which `current` holds a sample
    n_reference: int


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
    return _datasets(_sides(observation, source, rows, ()))


def compare(
    observation: Observation, source: str = "", rules: RuleSettings | None = None, rows: int = ROWS
) -> Comparison:
    """Run Evidently on a window: once, for both the page and the numbers.

    Numeric features: cvkit's Kolmogorov-Smirnov test at the rules' false alarms of drift a year, shared out over
    windows and features (Bonferroni), and cvkit's PSI with `PSI_LIMIT` added to what noise makes of it. Categories:
    Jensen-Shannon distance, which is an effect and no evidence. Rules: at least `minimum_images` images, and at most
    `quality_warning` of them out of the range learnt from the reference. Features that the rules ignore are left out.
    Raises DataError as `datasets`.
    """
    rules = rules or RuleSettings()
    sides = _sides(observation, source, rows, rules.ignore)
    days = (observation.window.end - observation.window.start) / timedelta(days=1)
    budget = rules.false_alarms_per_year * rules.drift_share * days / DAYS_A_YEAR
    alpha = min(1.0, budget) / max(1, len(sides.numeric))
    with _evidently():
        from evidently import Report

        register_tests()
        metrics = [*_drift_metrics(sides, alpha), *_rule_metrics(sides, _ranges(observation, source), rules)]
        snapshot = Report(metrics, include_tests=True).run(*_datasets(sides))
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
            ("cvkit_ks", "cvkit KS, p-value by the reference's own days", 0.05, _ks_test),
            ("cvkit_psi", "cvkit PSI by the reference's deciles", PSI_LIMIT, _psi_test),
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


# -- what goes in ---------------------------------------------------------------------------------------------------


def _sides(observation: Observation, source: str, rows: int, ignore: tuple[str, ...] | list[str]) -> Sides:
    """Both sides with the columns that can be compared."""
    if rows < 1:
        raise ValueError(f"a sample has at least one row, not {rows}")
    current, reference = _images(observation.features, source), _known(observation, source)
    _check_images(current, reference, observation, source)
    now, then = (_numbers(_evenly(side, rows)) for side in (current, reference))
    left_out = {name: "the rules ignore it" for name in ignore if name in (*PROPERTIES, *PREDICTION_FEATURES)}
    for name in (*PROPERTIES, *PREDICTION_FEATURES):
        for side, words in ((now, "window"), (then, "reference")):
            if side[name].isna().all():
                left_out.setdefault(name, f"no value in the {words}")
    for name in CATEGORIES:
        if {"", *now[name]} == {"", *then[name]} and now[name].nunique() == 1:
            left_out[name] = "the same on both sides"
        elif (now[name] == "").all() or (then[name] == "").all():
            left_out[name] = "one side does not tell"
    numeric = tuple(name for name in (*PROPERTIES, *PREDICTION_FEATURES) if name not in left_out)
    categories = tuple(name for name in CATEGORIES if name not in left_out)
    if not numeric and not categories:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise _nothing("no feature can be compared with the reference", observation, source, reasons)
    timed = ("time",) if now["time"].notna().all() and then["time"].notna().all() else ()
    columns = ["image_id", *timed, *numeric, *categories]
    length = observation.window.end - observation.window.start
    return Sides(
        now.set_index(_index(now["time"]))[columns], then.set_index(_index(then["time"], length))[columns],
        numeric, categories, left_out, len(current), len(reference),
    )  # fmt: skip


def _check_images(current: pd.DataFrame, reference: pd.DataFrame, observation: Observation, source: str) -> None:
    for side, words in ((current, "window"), (reference, "reference")):
        if side.empty:
            raise _nothing(f"the {words} has no readable image to compare", observation, source, "0 images")


def _nothing(problem: str, observation: Observation, source: str, found: str) -> DataError:
    return DataError(
        f"{problem}, so Evidently's report was not written",
        where=f"window {observation.window}" + (f", source {source}" if source else ""), found=found,
        remedy="look at the window's findings and verdicts: they say what is missing",
    )  # fmt: skip


def _images(features: pd.DataFrame, source: str) -> pd.DataFrame:
    """Readable images, each content once a source: what cvkit measures drift on."""
    mine = features[features["source"] == source] if source else features
    readable = mine[mine["damage"].isin(["", "truncated"])]
    return readable[~readable.duplicated(["source", "content"])]


def _known(observation: Observation, source: str) -> pd.DataFrame:
    """The reference's images that `source` is compared with."""
    reference = observation.reference
    part = reference.part(source) if source else ""
    return reference.features[:0] if part is None else _images(reference.features, part)


def _evenly(frame: pd.DataFrame, rows: int, seed: int = 0) -> pd.DataFrame:
    """At most `rows` rows in order of time: one drawn from each of as many stretches of equal size."""
    ordered = frame.sort_values(["time", "image_id"])
    if len(ordered) <= rows:
        return ordered
    ends = np.linspace(0, len(ordered), rows + 1).astype(int)
    return ordered.iloc[np.random.default_rng(seed).integers(ends[:-1], ends[1:])]


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as Evidently takes them: no infinities, times without zone, no `<` that could end its page's script."""
    features = [*PROPERTIES, *PREDICTION_FEATURES]
    plain = frame[["image_id", "time", *features, *CATEGORIES]].reset_index(drop=True)
    plain[features] = plain[features].replace([np.inf, -np.inf], np.nan)
    plain["time"] = plain["time"].dt.tz_convert("UTC").dt.tz_localize(None)
    for name in ("image_id", *CATEGORIES):
        plain[name] = plain[name].astype(object).str.replace("<", "\u2039")
    for name in CATEGORIES:
        plain[name] = plain[name].str.slice(0, NAME_LENGTH)
    return plain


def _index(times: pd.Series, chunk: timedelta | None = None) -> pd.Index:
    """Times, rounded down to the start of their chunk; numbers where a time is missing."""
    if times.isna().any():
        return pd.RangeIndex(len(times))
    return pd.DatetimeIndex(times if chunk is None else times.dt.floor(chunk), name="time of image")


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
    lines = [
        f"{_count(len(sides.current), sides.n)} of the window and {_count(len(sides.reference), sides.n_reference)} of "
        "the reference: readable ones, copies counted once.",
        f"Numbers are compared by cvkit's Kolmogorov-Smirnov test (drift where p is at most {compared.alpha:.2g}; "
        f"its p-value knows that images of one day are alike) and by PSI (drift beyond {PSI_LIMIT:g} more than noise "
        f"makes of it), categories by the Jensen-Shannon distance (drift beyond {CATEGORY_LIMIT:g}).",
        "No alarm is raised from this page: it looks at this window alone, cvkit's verdicts at all windows up to it.",
    ]
    if sides.left_out:
        lines.append("Not compared: " + "; ".join(f"{name} ({why})" for name, why in sides.left_out.items()) + ".")
    style = "font: 15px/1.5 sans-serif; max-width: 60em; margin: 1.5em auto; padding: 0 1em"
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<header style="{style}"><h1 style="font-size: 1.4em">{html.escape(title)}</h1>{text}</header>'


def _count(used: int, of: int) -> str:
    return f"{used:,} images" if used == of else f"{used:,} of {of:,} images, drawn evenly over time,"
