"""Facts about the model in production: how good it is by labels and by estimates, and how soon labels come."""

from __future__ import annotations

import math

import pandas as pd

from cvkit.documentation import wording
from cvkit.documentation.facts.asked import newest, of_newest, time, window
from cvkit.documentation.facts.known import Known
from cvkit.documentation.facts.table import Fact
from cvkit.documentation.wording import escape
from cvkit.stats import intervals

METRICS = ("recall", "precision", "f1", "ap50", "ap")
UNKNOWN = "Labels of classes that the model does not know are nothing to be found; what it takes them for is false."


def performance(known: Known) -> Fact:
    """How good it is now: by labels, and by estimates where there are none; in one window, and in the newest ones."""
    by_labels, estimates = of_newest(known, "performance"), of_newest(known, "estimate")
    fields = [("window of the newest labels", window(by_labels))]
    fields += [("window of the newest estimate", window(estimates))] if len(estimates) else []
    more = []
    if len(by_labels):
        more = ["By labels of that window; without an interval where fewer than 30 independent images have labels:",
                wording.performance_table(by_labels), *_of_windows(known), UNKNOWN]  # fmt: skip
    more += [wording.estimate_lines(estimates)] if len(estimates) else []
    return Fact(tuple(fields), "the measurements of windows", newest(known), "\n\n".join(more))


def labels(known: Known) -> Fact:
    """How many images of the newest window with labels have some, and how soon they came."""
    rows = of_newest(known, "performance")
    more = wording.label_lines(rows) if len(rows) else ""
    when = time(rows["window_end"].max()) if len(rows) else None
    return Fact((("window of the newest labels", window(rows)),), "the measurements of windows", when, more)


def _of_windows(known: Known) -> list[str]:
    """The mean over the newest windows with labels, of each source, with its interval from how much windows differ."""
    most = known.config.retraining.recent_windows
    told = known.measurements[known.measurements["feature"] == "performance"].dropna(subset="value")
    rows, longest = [], 0
    for source, part in told[told["metric"].isin(METRICS)].groupby("source"):
        recent = part[part["window_start"].isin(sorted(part["window_start"].unique())[-most:])]
        count = recent["window_start"].nunique()
        longest = max(longest, count)
        cells = [_mean(recent[recent["metric"] == name]) for name in METRICS]
        rows.append(f"| **{escape(str(source)) or 'all'}** | {count} | {' | '.join(cells)} |")
    if longest < 2:
        return []
    head = [f"| source | windows | {' | '.join(METRICS)} |", f"|---|---|{'---|' * len(METRICS)}"]
    words = f"Means of the newest windows with labels, at most {most}, with intervals of 95 % from how windows differ:"
    return [words, "\n".join([*head, *rows])]


def _mean(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "not known"
    value, low, high = intervals.mean_interval(rows["value"])
    if len(rows) > 1 and (rows["value"] == value).all() and value in (0.0, 1.0):  # windows that agree tell no spread
        unseen = intervals.unseen(int(rows["n"].sum()))
        low, high = (0.0, unseen) if value == 0 else (1 - unseen, 1.0)
    sure = " (interval not known)" if math.isnan(low) else f" ({max(low, 0.0):.2f} to {min(high, 1.0):.2f})"
    return f"{value:.2f}{sure}"
