"""From verdicts to words: what is probably the matter, on which source and since when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cvkit.tables import PREDICTION_FEATURES, worst

# The likely cause of features and findings that stand out together, the most telling first.
CAUSES: tuple[tuple[str, frozenset[str]], ...] = (
    ("frozen camera: the same frame again and again", frozenset({"frozen", "exact_duplicate", "near_duplicate"})),
    ("new kind of object: labels hold a class the model does not know", frozenset({"unknown_class"})),
    ("damaged files", frozenset({"unreadable", "empty_file", "truncated", "wrong_format"})),
    ("camera set-up changed", frozenset({"wrong_mode", "wrong_size"})),
    ("images missing", frozenset({"gap", "images"})),
    (
        "records that cannot be used",
        frozenset({"bad_record", "bad_box", "bad_confidence", "missing_image", "conflicting_labels", "box_outside"}),
    ),
    ("predictions or times missing", frozenset({"missing_prediction", "no_time"})),
    ("picture less sharp: dirty lens, lost focus or stronger compression", frozenset({"blurred", "sharpness"})),
    ("light changed", frozenset({"too_dark", "too_bright", "brightness"})),
    ("noisier picture", frozenset({"noisy", "noise"})),
    (
        "look of the scene changed",
        frozenset({"contrast", "saturation", "colourfulness", "entropy", "low_information", "embedding"}),
    ),
    ("odd images among the others", frozenset({"strange"})),
    ("the model sees other objects than before", frozenset({*PREDICTION_FEATURES, "class_mix"})),
)
# What the picture as a whole may show: the first to stand out names the cause, as darkness takes sharpness with it.
PICTURE = tuple(cause for cause, _ in CAUSES[7:11])
# What any earlier cause on the list brings with it: a dirty lens takes light and contrast too, and moves predictions.
CONSEQUENCES = frozenset(cause for cause, _ in CAUSES[8:])
NAME_WIDTH = 32  # characters of a source's name in a terminal
COLUMNS = ("source", "state", "since", "until", "what", "evidence")


def diagnose(verdicts: pd.DataFrame) -> pd.DataFrame:
    """What stood out, by source and likely cause: one row per stretch of time, newest first.

    `verdicts` as the history gives them (table VERDICTS with `window_start` and `window_end`). `since` and `until`
    bound the stretch; `until` is NaT while it lasts. Drift of the scene's look and of the predictions during another
    cause is that cause's evidence, not a row of its own. A source of which nothing is known in its newest window has
    a row that says so; one without any row is healthy.
    """
    rows = [
        row for source, part in verdicts.groupby("source", sort=True) for row in _diagnose_source(str(source), part)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["source", "since"], ascending=[True, False], ignore_index=True)


def text(verdicts: pd.DataFrame, runs: pd.DataFrame, settings: Mapping[str, str]) -> str:
    """What stood out on every source, as a table for a terminal; `verdicts` as for `diagnose`, `runs` of the same.

    `settings` are the `reference_id` and `rules_id` that hold now.
    """
    if verdicts.empty:
        return "nothing has been measured yet: run `cvkit run`"
    found = diagnose(verdicts)
    newest = verdicts["window_start"].max()
    lines = [("source", "state", "since", "until", "what")]
    for source in sorted(set(verdicts["source"])):
        name = (source if len(source) <= NAME_WIDTH else f"{source[: NAME_WIDTH - 1]}…") or "(no source)"
        part: list[dict[str, Any]] = found[found["source"] == source].to_dict("records")
        for row in part:
            until = "lasting" if pd.isna(row["until"]) else f"{row['until']:%Y-%m-%d}"
            evidence = f" ({_shortened(row['evidence'])})" if row["state"] != "unknown" else ""
            lines.append((name, row["state"], f"{row['since']:%Y-%m-%d}", until, row["what"] + evidence))
        if not part:
            lines.append((name, "ok", "", "", "nothing stands out"))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    table = "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[4]]) for line in lines
    )
    return "\n".join(filter(None, [f"up to the window of {newest:%Y-%m-%d}", table, *judged_otherwise(runs, settings)]))


def judged_otherwise(runs: pd.DataFrame, settings: Mapping[str, str]) -> Iterator[str]:
    """A word on windows that were judged otherwise than the settings say now: columns of `runs`, and their value.

    They keep their verdicts: what was changed for good reason does not make the past wrong.
    """
    done = runs[runs["status"] == "done"]
    words = {"reference_id": "against another reference", "rules_id": "by other rules"}
    for column, value in settings.items():
        others = done.loc[done[column] != value, "window_start"]
        if others.empty:
            continue
        first, last, n = others.min(), others.max(), len(others)
        many = (
            f"{n} windows, {first:%Y-%m-%d} to {last:%Y-%m-%d}, were" if n > 1 else f"1 window, {first:%Y-%m-%d}, was"
        )
        yield f"{many} judged {words[column]} than cvkit.yml has now: `cvkit run --from {first:%Y-%m-%d}` judges anew"


def _shortened(evidence: str, most: int = 3) -> str:
    names = evidence.split(", ")
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _diagnose_source(source: str, verdicts: pd.DataFrame) -> list[dict[str, object]]:
    last = verdicts["window_start"].max()
    stretches = [s for feature, part in verdicts.groupby("feature") for s in _stretches(str(feature), part, last)]
    rows: list[dict[str, Any]] = []
    for stretch in sorted(stretches, key=_telling):
        home = next((row for row in rows if _belongs(stretch, row)), None)
        if home is None:
            rows.append({"what": stretch.what, "since": stretch.since, "last": stretch.last,
                         "lasts": stretch.lasts, "states": [stretch.state], "features": [stretch.feature]})  # fmt: skip
            continue
        if stretch.what == home["what"]:
            home["since"], home["last"] = min(home["since"], stretch.since), max(home["last"], stretch.last)
            home["lasts"] = home["lasts"] or stretch.lasts
        home["states"].append(stretch.state)
        home["features"].append(stretch.feature)
    return [
        {"source": source, "state": worst(row["states"]), "since": row["since"],
         "until": pd.NaT if row["lasts"] else row["last"], "what": row["what"],
         "evidence": ", ".join(dict.fromkeys(row["features"]))}
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Stretch:
    """An unbroken run of windows in which one feature was not ok; unknown windows neither start nor break it."""

    feature: str
    what: str  # the likely cause in words
    state: str
    since: pd.Timestamp
    last: pd.Timestamp  # start of the last window it was seen in
    lasts: bool


def _stretches(feature: str, verdicts: pd.DataFrame, newest: pd.Timestamp) -> Iterator[_Stretch]:
    ordered = verdicts.sort_values("window_start")
    judged = ordered[ordered["state"] != "unknown"]
    bad = judged["state"].isin(["warning", "critical"])
    what = CAUSES[_rank(feature)][0]
    for _, run in judged[bad].groupby((~bad).cumsum()[bad]):
        first, final = run["window_start"].min(), run["window_start"].max()
        lasts = bool(final == judged["window_start"].max())
        yield _Stretch(feature, what, worst(list(run["state"])), first, final, lasts)
    if feature == "images" and ordered["window_start"].iloc[-1] == newest and ordered["state"].iloc[-1] == "unknown":
        known = ordered.loc[ordered["state"] != "unknown", "window_start"].max()
        since = ordered.loc[~(ordered["window_start"] <= known), "window_start"].min()
        what = f"cannot be judged: {ordered['reason'].iloc[-1]}"
        yield _Stretch(feature, what, "unknown", since, newest, lasts=True)


def _telling(stretch: _Stretch) -> tuple[int, pd.Timestamp, int]:
    """The most telling cause first; of those of the picture, the earliest."""
    rank = _rank(stretch.feature)
    return (_rank("sharpness") if stretch.what in PICTURE else rank, stretch.since, rank)


def _rank(feature: str) -> int:
    return next((rank for rank, (_, features) in enumerate(CAUSES) if feature in features), len(CAUSES) - 1)


def _belongs(stretch: _Stretch, row: dict[str, Any]) -> bool:
    """Whether a stretch is part of a cause already found: the same cause, or what that cause brings with it."""
    overlaps = stretch.since <= row["last"] and row["since"] <= stretch.last
    picture = stretch.what in PICTURE and row["what"] in PICTURE
    return overlaps and (stretch.what == row["what"] or picture or stretch.what in CONSEQUENCES)
