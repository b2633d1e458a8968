"""Prometheus: what is known of a model's newest window, as metrics. Frames in, text out; nothing is read.

Labels are bounded: model, version, source, feature, metric, class, rule, severity, state, channel, status, schedule;
never an id or a path. So is the number of series: what does not fit is left out, the least telling first, and counted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from cvkit import __version__
from cvkit.config.alerts import STATISTICS
from cvkit.tables import MEASUREMENTS, STATES, TIME, VERDICTS, empty

MOST_SERIES = 100_000  # of one scrape
STATE_VALUES: Mapping[str, int] = {state: number for number, state in enumerate(STATES)}

MODEL = ("model", "version")
SOURCE = (*MODEL, "source")
JUDGED = (*SOURCE, "rule", "feature")
MEASURED = (*SOURCE, "feature", "metric", "class")
RAISED = (*SOURCE, "rule", "severity", "state")
SENT = ("channel", "status")
JOB = ("model", "schedule")

# Statistics that are kept where not all fit: all but distances from the reference, which verdicts do not rest on.
DISTANCES = ("ks", "psi", "wasserstein", "jensen_shannon", "chi_square", "embedding_shift")
TELLING = tuple(name for name in dict.fromkeys(itertools.chain(*STATISTICS.values())) if name not in DISTANCES)

# Column of MEASUREMENTS that each metric shows, and what it means.
OF_MEASUREMENTS: Mapping[str, tuple[str, str]] = {
    "cvkit_measurement": ("value", "A number about the newest window"),
    "cvkit_measurement_low": ("low", "Lower end of its interval, where it has one"),
    "cvkit_measurement_high": ("high", "Upper end of its interval"),
    "cvkit_measurement_expected": ("expected", "What the reference had"),
    "cvkit_measurement_expected_low": ("expected_low", "Lower end of where 95 % of healthy windows lie"),
    "cvkit_measurement_expected_high": ("expected_high", "Upper end of it"),
    "cvkit_measurement_effect": ("effect", "Size of the change, in the unit the metric names"),
    "cvkit_measurement_p_value": ("p_value", "Probability of a change this large by chance, this number alone"),
    "cvkit_measurement_values": ("n", "Images or other values it is from"),
}


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: which labels it has and what it says."""

    labels: tuple[str, ...]
    words: str


METRICS: Mapping[str, Described] = {
    "cvkit_build_info": Described(("version",), "Version of cvkit; always 1"),
    "cvkit_up": Described(("model",), "1 where the history could be read, else 0 and nothing below is given"),
    "cvkit_history_errors_total": Described(("model",), "Scrapes since the start that could not read the history"),
    "cvkit_series": Described(("model",), "Series given"),
    "cvkit_series_left_out": Described(("model",), "Series left out, as more would be too many"),
    "cvkit_window_end_timestamp_seconds": Described(MODEL, "End of the newest window that was measured"),
    "cvkit_window_seconds": Described(MODEL, "Length of that window"),
    "cvkit_window_images": Described(MODEL, "Images in that window"),
    "cvkit_window_bad_images": Described(MODEL, "Images in that window with a finding"),
    "cvkit_failed_window_end_timestamp_seconds": Described(MODEL, "End of the newest window that failed, if any"),
    "cvkit_last_success_timestamp_seconds": Described(MODEL, "When a window was last measured"),
    "cvkit_last_failure_timestamp_seconds": Described(MODEL, "When a window last failed, of those that still are"),
    "cvkit_source_state": Described(SOURCE, "Worst verdict on a source: 0 ok, 1 unknown, 2 warning, 3 critical"),
    "cvkit_alert": Described(RAISED, "1 for each alert that is not over; firing, acknowledged, snoozed or disabled"),
    "cvkit_alert_since_timestamp_seconds": Described(RAISED, "Since when"),
    "cvkit_alert_inhibited": Described(RAISED, "1 where another alert keeps it from being sent"),
    "cvkit_deliveries": Described(SENT, "Messages by channel: waiting, sent, failed"),
    "cvkit_deliveries_oldest_timestamp_seconds": Described(SENT, "When the oldest of them was made"),
    "cvkit_slot_done_timestamp_seconds": Described(JOB, "Newest time of a job of the schedule for which it was done"),
    "cvkit_verdict_state": Described(JUDGED, "A verdict: 0 ok, 1 unknown, 2 warning, 3 critical"),
    **{name: Described(MEASURED, words) for name, (_, words) in OF_MEASUREMENTS.items()},
}

ALERTS: Mapping[str, str] = {
    **dict.fromkeys(("fingerprint", *SOURCE, "rule", "severity", "state"), "str"),
    **dict.fromkeys(("since", "changed", "sent"), TIME),
    "inhibited": "bool",
}
DELIVERIES: Mapping[str, str] = {"channel": "str", "status": "str", "n": "int64", "oldest": TIME}
SLOTS_DONE: Mapping[str, str] = {**dict.fromkeys(JOB, "str"), "done": TIME}
_OF_RUN = {"status": "str", "window_start": TIME, "window_end": TIME, "last": TIME, "images": "float64"}
RUNS: Mapping[str, str] = {**dict.fromkeys(MODEL, "str"), **_OF_RUN, "bad_images": "float64"}


@dataclass(frozen=True, slots=True)
class Newest:
    """What is known of the newest window of `model`, and of its alerts.

    `runs` has one row per version and status, done and failed: its newest window, and when one `last` ended so.
    `measurements` and `verdicts` are as the history gives them, `alerts` and `deliveries` as the tables here.
    """

    model: str
    runs: pd.DataFrame = field(default_factory=lambda: empty(RUNS))
    measurements: pd.DataFrame = field(default_factory=lambda: empty({**dict.fromkeys(MODEL, "str"), **MEASUREMENTS}))
    verdicts: pd.DataFrame = field(default_factory=lambda: empty({**dict.fromkeys(MODEL, "str"), **VERDICTS}))
    alerts: pd.DataFrame = field(default_factory=lambda: empty(ALERTS))
    deliveries: pd.DataFrame = field(default_factory=lambda: empty(DELIVERIES))
    slots: pd.DataFrame = field(default_factory=lambda: empty(SLOTS_DONE))


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers by labels: one row per set of labels, one column per metric, NaN where there is no number."""

    labels: tuple[str, ...]
    rows: pd.DataFrame
    metrics: tuple[str, ...]


def gauges(newest: Newest, most: int = MOST_SERIES) -> str:
    """The metrics as text, of at most `most` series and the two that count them.

    All are gauges without a time, which Prometheus's text and OpenMetrics write alike. Where there are more, rows are
    left out from the end: first measurements, distances before means, shares and counts; then verdicts. Of two rows
    with the same labels the first is given.
    """
    parts, left, out = [], most, 0
    for table in _tables(newest):
        given, dropped = _lines(table, left)
        left -= sum(len(lines) for lines in given.values())
        out += dropped
        parts += [_headed(name, lines) for name, lines in given.items()]
    model = f'{{model="{escaped(newest.model)}"}}'
    counted = {"cvkit_series": most - left, "cvkit_series_left_out": out}
    return "".join([*(_headed(name, [f"{name}{model} {value}\n"]) for name, value in counted.items()), *parts])


def inside(labels: Mapping[str, str]) -> str:
    """Labels as they stand between braces; empty ones are as if they were not there."""
    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items() if value)


def escaped(text: str) -> str:
    """The value of a label, between quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """A number as both formats write it."""
    return repr(value) if math.isfinite(value) else "+Inf" if value > 0 else "-Inf" if value < 0 else "NaN"


def header(name: str) -> str:
    """The lines that say what a gauge is."""
    return f"# HELP {name} {METRICS[name].words}.\n# TYPE {name} gauge\n"


def single(name: str, model: str, value: float) -> Metric:
    """A gauge of a model as a whole."""
    made = GaugeMetricFamily(name, METRICS[name].words, labels=["model"])
    made.add_metric([model], value)
    return made


def errors(model: str, count: int) -> Metric:
    """How often the history could not be read."""
    name = "cvkit_history_errors_total"
    made = CounterMetricFamily(name.removesuffix("_total"), METRICS[name].words, labels=["model"])
    made.add_metric([model], count)
    return made


def build_info() -> Metric:
    """Which cvkit this is."""
    name = "cvkit_build_info"
    return InfoMetricFamily(name.removesuffix("_info"), METRICS[name].words, value={"version": __version__})


def measured(measurements: pd.DataFrame) -> pd.DataFrame:
    """Measurements with the columns of the metrics about them, the most telling statistics first."""
    later = ~measurements["metric"].isin(TELLING)
    rows = measurements.iloc[later.to_numpy().argsort(kind="stable")]
    columns = {name: rows[column] for name, (column, _) in OF_MEASUREMENTS.items()}
    return rows.rename(columns={"class_name": "class"})[list(MEASURED)].assign(**columns)


def source_states(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The worst state of each source, as a number."""
    states = verdicts[list(SOURCE)].assign(cvkit_source_state=verdicts["state"].map(STATE_VALUES))
    return states.groupby(list(SOURCE), sort=True, as_index=False).max()


def _tables(newest: Newest) -> Iterator[Table]:
    """All there is to tell, the most telling first."""
    yield _table(MODEL, _windows(newest.runs, "done"))
    yield _table(MODEL, _windows(newest.runs, "failed"))
    done = newest.slots[list(JOB)].assign(cvkit_slot_done_timestamp_seconds=_seconds(newest.slots["done"]))
    yield _table(JOB, done)
    yield _table(SENT, _deliveries(newest.deliveries))
    yield _table(SOURCE, source_states(newest.verdicts))
    yield _table(RAISED, _alerts(newest.alerts))
    states = newest.verdicts["state"].map(STATE_VALUES)
    yield _table(JUDGED, newest.verdicts[list(JUDGED)].assign(cvkit_verdict_state=states))
    yield _table(MEASURED, measured(newest.measurements))


def _table(labels: tuple[str, ...], rows: pd.DataFrame) -> Table:
    return Table(labels, rows, tuple(name for name in rows.columns if name not in labels))


def _windows(runs: pd.DataFrame, status: str) -> pd.DataFrame:
    rows = runs[runs["status"] == status]
    if status == "failed":
        return rows[list(MODEL)].assign(
            cvkit_failed_window_end_timestamp_seconds=_seconds(rows["window_end"]),
            cvkit_last_failure_timestamp_seconds=_seconds(rows["last"]),
        )
    return rows[list(MODEL)].assign(
        cvkit_window_end_timestamp_seconds=_seconds(rows["window_end"]),
        cvkit_window_seconds=(rows["window_end"] - rows["window_start"]).dt.total_seconds(),
        cvkit_window_images=rows["images"],
        cvkit_window_bad_images=rows["bad_images"],
        cvkit_last_success_timestamp_seconds=_seconds(rows["last"]),
    )


def _alerts(alerts: pd.DataFrame) -> pd.DataFrame:
    rows = alerts[alerts["state"] != "resolved"]
    return rows[list(RAISED)].assign(
        cvkit_alert=1.0,
        cvkit_alert_since_timestamp_seconds=_seconds(rows["since"]),
        cvkit_alert_inhibited=rows["inhibited"].astype("float64"),
    )


def _deliveries(deliveries: pd.DataFrame) -> pd.DataFrame:
    return deliveries[list(SENT)].assign(
        cvkit_deliveries=deliveries["n"], cvkit_deliveries_oldest_timestamp_seconds=_seconds(deliveries["oldest"])
    )


def _seconds(times: pd.Series) -> pd.Series:
    """Unix time; NaN where there is none."""
    return (pd.to_datetime(times, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def _lines(table: Table, most: int) -> tuple[dict[str, list[str]], int]:
    """The lines of each metric, of the first rows that make at most `most` series, and how many series are left out.

    Plain lists and one matrix: there are tens of thousands of lines, and each costs what is done for it here.
    """
    columns = [
        table.rows[name].fillna("").to_numpy(object).tolist() for name in table.labels
    ]  # a number may have no class
    labels, numbers = list(zip(*columns, strict=True)), table.rows[list(table.metrics)].to_numpy("float64")
    series = (~np.isnan(numbers)).sum(axis=1)
    places = dict(zip(reversed(labels), range(len(labels) - 1, -1, -1), strict=True))  # the first of each
    once = np.zeros(len(labels), bool)
    once[list(places.values())] = True
    fits = once & (np.cumsum(np.where(once, series, 0)) <= most)
    sets = _sets(table.labels, [list(itertools.compress(column, fits)) for column in columns])
    lines = {name: _of_metric(name, sets, numbers[fits, place]) for place, name in enumerate(table.metrics)}
    return lines, int(series[~fits].sum())


def _of_metric(name: str, sets: Sequence[str], numbers: NDArray[np.float64]) -> list[str]:
    """A line for each number there is."""
    write = number if np.isinf(numbers).any() else repr
    pairs = zip(sets, numbers.tolist(), strict=True)
    return [f"{name}{{{text}}} {write(value)}\n" for text, value in pairs if value == value]


def _sets(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """What stands between braces, row by row; each value is escaped once, however often it comes."""
    written = []
    for name, values in zip(names, columns, strict=True):
        known = {text: f'{name}="{escaped(text)}"' for text in set(values)}
        written.append([known[text] for text in values])
    return [",".join(one) for one in zip(*written, strict=True)]


def _headed(name: str, lines: Sequence[str]) -> str:
    return header(name) + "".join(lines)
