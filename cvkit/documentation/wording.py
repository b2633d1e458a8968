"""What a report says in words: the verdict in one line, and the reasons as a table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from cvkit.monitoring import labels
from cvkit.tables import SIGNS, STATES, worst_by

ALL_RULES = ("data", "quality", "drift")
NAMED = 6  # sources named in a line; the table below it has all


def escape(text: str) -> str:
    r"""`text` as Markdown and HTML show it unchanged.

    >>> escape("<b>$cam_1$")
    '&#60;b&#62;&#36;cam&#95;1&#36;'
    """
    return "".join(letter if letter.isalnum() or letter in " .,:;-/()%+?" else f"&#{ord(letter)};" for letter in text)


def verdict_line(verdicts: pd.DataFrame, *, ok: str, not_ok: str, rules: Collection[str] = ALL_RULES) -> str:
    """The verdict on a window as one line of Markdown: `ok` or `not_ok` said of the sources by name.

    `verdicts`: table VERDICTS of one window, of which only `rules` count. Unknown is said as such, never as ok.
    """
    counted = verdicts[verdicts["rule"].isin([*rules, "data"])]
    if counted.empty:
        return "**? unknown:** nothing was measured in this window."
    lights = worst_by(counted, "source")
    states = {state: [source for source, light in lights.items() if light == state] for state in reversed(STATES)}
    words = {"critical": not_ok, "warning": not_ok, "unknown": "cannot be judged", "ok": ok}
    said = [f"**{SIGNS[state]} {state}:** {_sources(names)} {words[state]}" for state, names in states.items() if names]
    return ". ".join(said) + "."


def anomaly_line(anomalies: pd.DataFrame, level: float) -> str:
    """What table ANOMALIES of a window says, as a line of Markdown for each source; `level`: share of false flags."""
    if anomalies.empty:
        return "**? unknown:** no image of this window can be read."
    lines = []
    for source, part in anomalies.groupby("source"):
        name, flagged = escape(str(source)) or "images without a source", int(part["flagged"].sum())
        if why := str(part["unknown"].iloc[0]):
            lines.append(f"**{SIGNS['unknown']} unknown:** {name}: {escape(why)}")
        elif flagged:
            share = f"of these about {level * flagged:.2g} ({100 * level:g} %) may be false flags"
            lines.append(f"**{SIGNS['warning']} {flagged} of {len(part)}** images of {name} are strange: {share}")
        else:
            lines.append(f"**{SIGNS['ok']} ok:** none of {len(part)} images of {name} is stranger than chance allows")
    return "\n\n".join(f"{line}." for line in lines)


def change_lines(ranked: pd.DataFrame, kinds: dict[str, str], most: int = 6) -> str:
    """The features with an alarm as a Markdown list by source, in the order of `changes.rank`; what kind of change.

    At most `most` features of a source; what is left out is counted.
    """
    active = ranked[ranked["active"]]
    if active.empty:
        return "No feature has an alarm."
    parts = []
    for source, rows in active.groupby("source", sort=False):
        items = [_change_item(row) for row in rows.head(most).to_dict("records")]
        left_out = [f"- and {len(rows) - most} more"] if len(rows) > most else []
        head = f"{_source(str(source))}: a change of {kinds.get(str(source), 'predictions only')}"
        parts.append("\n".join([head, "", *items, *left_out]))
    return "\n\n".join(parts)


def _change_item(row: dict[Any, Any]) -> str:
    way = "" if pd.isna(row["gradual"]) else ", gradually" if row["gradual"] > 0.8 else ", suddenly"
    harm = "harm not known" if pd.isna(row["harm"]) else f"harm {round(row['harm'], 3) + 0:+.3f}"
    beyond = "" if pd.isna(row["beyond"]) else f", {row['beyond']:.0%} of the images beyond the reference's range"
    name = escape(str(row["feature"]).replace("_", " "))
    return f"- **{name}** by {row['effect']:.2g} since {row['since']}{way}; {harm}{beyond}"


def together_lines(table: pd.DataFrame) -> str:
    """What `changes.together` gives, as a Markdown table with one line for each source and kind of columns."""
    if table.empty:
        return "No image could be compared with the reference."
    lines = ["| source | columns | classifier's area | p | MMD, effect | p | images |", "|---|---|---|---|---|---|---|"]
    for (source, columns), rows in table.groupby(["source", "columns"], sort=False):
        by = rows.set_index("statistic")
        area, far = by.loc["classifier"], by.loc["mmd"]
        numbers = (
            f"{area['value']:.2f} | {area['p_value']:.3f} | {far['effect']:.2f} | {far['p_value']:.3f}"
            if area["n"] > 1 and area["n_reference"] > 1
            else "not known | | not known |"
        )
        lines.append(f"| {_source(str(source))} | {columns} | {numbers} | {area['n']} against {area['n_reference']} |")
    return "\n".join(lines)


def performance_table(measurements: pd.DataFrame) -> str:
    """How good the model was on the labelled images of a window, as a Markdown table; of each source one row.

    `measurements`: table MEASUREMENTS of one window.
    """
    told = measurements[measurements["feature"] == "performance"]
    if told.empty:
        return "**? unknown:** no image of this window has labels yet."
    metrics = ("recall", "precision", "f1", "ap50", "ap")
    lines = [f"| source | labelled | {' | '.join(metrics)} |", f"|---|---|{'---|' * len(metrics)}"]
    for source, part in told.groupby("source"):
        by = {row["metric"]: row for row in part.to_dict("records")}
        counted = by.get("f1", by["coverage"])["n"]
        among = "" if counted == by["coverage"]["n"] else f"{counted} counted of "
        share = f"{among}{by['coverage']['n']} images, {by['coverage']['value']:.0%}"
        cells = [_with_interval(by.get(name, {"value": float("nan")})) for name in metrics]
        lines.append(f"| {_source(str(source))} | {share} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(row: dict[Any, Any]) -> str:
    if pd.isna(row["value"]):
        return "not known"
    interval = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
    expected = "" if pd.isna(row["expected"]) else f", reference {row['expected']:.2f}"
    return f"{row['value']:.2f}{interval}{expected}"


def label_lines(measurements: pd.DataFrame) -> str:
    """How soon the labels of a window came, and for which images they speak, as a Markdown list by source.

    `measurements`: table MEASUREMENTS of one window.
    """
    told = measurements[measurements["feature"] == "performance"]
    unlike = labels.unlike(measurements)
    lines = []
    for source, part in told.groupby("source"):
        by = {row["metric"]: row for row in part.to_dict("records")}
        words = [f"{by['coverage']['n']} images have labels, {by['coverage']['value']:.0%}"]
        if "lag" in by:
            words.append(
                f"they came {_hours(by['lag']['value'])} after the images, the last {_hours(by['lag']['high'])}"
            )
        if "weighted" in by:
            words.append(f"{by['weighted']['value']:.0%} of them were drawn by a plan and count by their weights")
        other = unlike[unlike["source"] == source]
        if by.get("returned", {"value": 1.0})["value"] < 1:
            share = f"{1 - by['returned']['value']:.0%} of what was asked for"
            words.append(f"**{share} has not come back: if that is the hard part, the numbers flatter**")
        if not len(other) and "weighted" not in by and by["coverage"]["value"] < 1:
            words.append("how they were chosen is not known")
        if len(other) and "weighted" not in by:
            ways = zip(other["feature"].head(3), other["effect"] > 0, strict=False)
            names = ", ".join(f"{escape(name.replace('_', ' '))} ({'higher' if up else 'lower'})" for name, up in ways)
            words.append(f"**they are unlike the others: {names}; the numbers speak for the labelled images only**")
        lines.append(f"- {_source(str(source))}: {'; '.join(words)}.")
    return "\n".join(lines)


def _hours(hours: float) -> str:
    return f"{hours:.0f} h" if abs(hours) < 48 else f"{hours / 24:.0f} days"


def estimate_lines(measurements: pd.DataFrame) -> str:
    """What was estimated of a window without labels, as a Markdown list by source; "" where nothing is estimated.

    `measurements`: table MEASUREMENTS of one window.
    """
    told = measurements[measurements["feature"] == "estimate"]
    lines = []
    for source, part in told.groupby("source"):
        known = part.dropna(subset="value").to_dict("records")
        words = ", ".join(
            f"{escape(row['metric'])} {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f}; reference "
            f"{row['expected']:.2f})"
            for row in known
        )
        unknown = f"{SIGNS['unknown']} unknown: too few images, or unlike all that the estimate was learnt from"
        lines.append(f"- {_source(str(source))}: {words or unknown}.")
    return "\n".join(["Estimated without labels, with a band of 90 %:", "", *lines]) if lines else ""


def slice_lines(weak: pd.DataFrame) -> str:
    """The weakest slices (table SLICES) as a Markdown list: one line each."""
    if weak.empty:
        return "No slice is surely worse than the others: none at all, or too few labelled images to tell."
    return "\n".join(
        f"- **{escape(row['slice'])}**: F1 {row['f1']:.2f} ({row['low']:.2f} to {row['high']:.2f}) where all others "
        f"have {row['rest']:.2f}; recall {_number(row['recall'])}, precision {_number(row['precision'])}; "
        f"{row['images']} images, {row['boxes']} boxes, p {row['p_value']:.2g}"
        for row in weak.to_dict("records")
    )


def slice_table(table: pd.DataFrame, most: int = 30) -> str:
    """Table SLICES as a Markdown table, at most `most` rows."""
    if table.empty:
        return "No labelled image has boxes."
    lines = ["| slice | images | boxes | recall | precision | F1 | all others |", "|---|---|---|---|---|---|---|"]
    for row in table.head(most).to_dict("records"):
        interval = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        numbers = [_number(row[name]) for name in ("recall", "precision", "f1", "rest")]
        numbers[2] += interval
        lines.append(f"| {escape(row['slice'])} | {row['images']} | {row['boxes']} | {' | '.join(numbers)} |")
    left_out = [f"\n... and {len(table) - most} more."] if len(table) > most else []
    return "\n".join(lines + left_out)


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.2f}"


def reasons(verdicts: pd.DataFrame, *, rules: Collection[str] = ALL_RULES, each: int = 4, most: int = 12) -> str:
    """Every verdict that is not ok, as a Markdown list by source, the worst first.

    At most `each` verdicts of at most `most` sources; what is left out is counted. Of a source that cannot be judged
    at all only that is said, not every feature that cannot be either.
    """
    counted = verdicts[verdicts["rule"].isin(list(rules)) & (verdicts["state"] != "ok")]
    silent = counted.loc[(counted["rule"] == "data") & (counted["state"] == "unknown"), "source"]
    echo = counted["source"].isin(silent) & (counted["rule"] != "data") & (counted["state"] == "unknown")
    rows = counted[~echo]
    if rows.empty:
        return "No rule found anything to report."
    rows = rows.assign(rank=[-STATES.index(state) for state in rows["state"]])
    rows = rows.assign(source_rank=rows.groupby("source")["rank"].transform("min"))
    rows = rows.sort_values(["source_rank", "source", "rank", "rule"], kind="stable")
    parts = [
        f"{_source(str(source))}\n\n{_reason_items(part, each)}" for source, part in rows.groupby("source", sort=False)
    ]
    left_out = [f"... and {len(parts) - most} more sources."] if len(parts) > most else []
    return "\n\n".join(parts[:most] + left_out)


def amounts(measurements: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Images by source: how many came, how many usually do, how many are different and readable, how many are bad."""
    counts = measurements[(measurements["feature"] == "images") & (measurements["metric"] == "count")]
    bad = findings[findings["image_id"] != ""].groupby("source")["image_id"].nunique()
    table = pd.DataFrame(
        {
            "images": counts["value"].astype(int),
            "usual": counts["expected"].map(lambda usual: "?" if pd.isna(usual) else f"{usual:.0f}"),
            "different": counts["n"],
            "bad": counts["source"].map(bad).fillna(0).astype(int),
        }
    )
    return table.set_axis(counts["source"].replace("", "(no source)").rename(None), axis=0)


def _reason_items(rows: pd.DataFrame, most: int) -> str:
    items = [
        f"- {SIGNS[state]} **{state}**, {escape(feature.replace('_', ' '))}: {escape(reason)}"
        for state, feature, reason in zip(rows["state"], rows["feature"], rows["reason"], strict=True)
    ]
    left_out = [f"- and {len(items) - most} more"] if len(items) > most else []
    return "\n".join(items[:most] + left_out)


def _source(name: str) -> str:
    return f"**{escape(name)}**" if name else "**images without a source**"


def _sources(names: list[str]) -> str:
    shown = [escape(name) or "images without a source" for name in names[:NAMED]]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(shown) + more
