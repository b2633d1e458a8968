"""From verdicts to words: what is probably the matter, on which source and since when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

import pandas as pd

from cvkit.tables import PREDICTION_FEATURES, worst

# The likely cause of features and findings that stand out together, the most telling first.
CAUSES: tuple[tuple[str, frozenset[str]], ...] = (
    ("the model makes more mistakes: labels tell", frozenset({"f1"})),
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
    # Darkness takes sharpness with it, and a dirty lens hardly takes light: of both at once, light is the cause.
    ("light changed", frozenset({"too_dark", "too_bright", "brightness"})),
    ("picture less sharp: dirty lens, lost focus or stronger compression", frozenset({"blurred", "sharpness"})),
    ("noisier picture", frozenset({"noisy", "noise"})),
    (
        "look of the scene changed",
        frozenset({"contrast", "saturation", "colourfulness", "entropy", "low_information", "embedding"}),
    ),
    ("odd images among the others", frozenset({"strange"})),
    ("the model sees other objects than before", frozenset({*PREDICTION_FEATURES, "class_mix"})),
)
RANKS = {feature: rank for rank, (_, features) in reversed(list(enumerate(CAUSES))) for feature in features}
# What the picture as a whole may show: the first to stand out names the cause.
PICTURE = tuple(cause for cause, _ in CAUSES[8:12])
# Causes that bring others of the list with them: a dirty lens takes contrast too, and moves predictions. A broken line
# in a file of predictions does not.
BRINGING = frozenset(cause for cause, _ in (*CAUSES[1:5], *CAUSES[8:12]))
BROUGHT = frozenset(cause for cause, _ in CAUSES[8:])
LAG = 3  # windows by which what a cause brought may outlast it: evidence takes a while to turn
MIDNIGHT = time(0)
BAD = ("warning", "critical")
NAME_WIDTH = 32  # characters of a source's name in a terminal
NUMBER = r"\d[\d.,]*"
NOT_YET = "nothing has been measured yet: run `cvkit run`"
NO_IMAGES = "no images were there in any window that was measured"
COLUMNS = ("source", "state", "since", "until", "what", "evidence")


def diagnose(verdicts: pd.DataFrame) -> pd.DataFrame:
    """What stood out, by source and likely cause: one row per stretch of time, newest first.

    `verdicts` as the history gives them (table VERDICTS with `window_start` and `window_end`). `since` and `until`
    bound the stretch; `until` is NaT while it lasts. Drift of the scene's look and of the predictions that begins
    during a cause which brings such drift, and does not outlast it, is that cause's evidence and no row of its own.
    Where nothing lasts, what could not be judged in a source's newest window has rows that say so, as always has that
    it sent no images; a source without any row is healthy.
    """
    told = verdicts[verdicts["source"].isin(verdicts.loc[verdicts["state"] != "ok", "source"])]
    rows = [row for source, part in told.groupby("source", sort=True) for row in _diagnose_source(str(source), part)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["source", "since"], ascending=[True, False], ignore_index=True)


def text(verdicts: pd.DataFrame, runs: pd.DataFrame, settings: Mapping[str, str], behind: str = "") -> str:
    """What stood out on every source, as a table for a terminal; `verdicts` as for `diagnose`, `runs` of the same.

    `settings` are the `reference_id` and `rules_id` that hold now, `behind` words of the function of that name.
    """
    if verdicts.empty:
        return behind or (NO_IMAGES if "done" in set(runs["status"]) else NOT_YET)
    found = diagnose(verdicts)
    newest = verdicts["window_start"].max()
    lines = [("source", "state", "since", "until", "what")]
    for source in sorted(set(verdicts["source"])):
        name = (source if len(source) <= NAME_WIDTH else f"{source[: NAME_WIDTH - 1]}…") or "(no source)"
        part: list[dict[str, Any]] = found[found["source"] == source].to_dict("records")
        for row in part:
            until = "lasting" if pd.isna(row["until"]) else f"{row['until']:%Y-%m-%d}"
            words = row["what"] + (f" ({_shortened(row['evidence'])})" if row["evidence"] != "images" else "")
            lines.append((name, row["state"], f"{row['since']:%Y-%m-%d}", until, words))
        if not part:
            lines.append((name, "ok", "", "", "nothing stands out"))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    table = "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[4]]) for line in lines
    )
    parts = [f"up to the window of {newest:%Y-%m-%d}", table, behind, *judged_otherwise(runs, settings)]
    return "\n".join(filter(None, parts))


def behind(runs: pd.DataFrame, version: str) -> str:
    """A word where the newest windows were measured with another version than `version`; "" where they were not.

    `runs`: of all versions of a model, as the history gives them.
    """
    done = runs[runs["status"] == "done"]
    mine, others = done[done["version"] == version], done[done["version"] != version]
    if others.empty or (len(mine) and mine["window_start"].max() >= others["window_start"].max()):
        return ""
    last = others.sort_values(["window_start", "finished"]).iloc[-1]
    missing = others[~others["window_start"].isin(mine["window_start"])]
    command = _again(missing["window_start"].min(), last["window_end"])
    return (
        f"The windows up to {last['window_start']:%Y-%m-%d} were measured with version {last['version']}, not with "
        f"{version}, the champion: `{command}` measures them with it"
    )


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
        command = _again(first, done.loc[done["window_start"] == last, "window_end"].max())
        yield f"{many} judged {words[column]} than now holds: `{command}` judges anew"


def _again(first: pd.Timestamp, end: pd.Timestamp) -> str:
    """The command that measures the windows of a stretch."""
    return f"cvkit run --from {first:%Y-%m-%d} --to {end + timedelta(days=end.time() > MIDNIGHT):%Y-%m-%d}"


def _shortened(evidence: str, most: int = 3) -> str:
    names = evidence.split(", ")
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _diagnose_source(source: str, verdicts: pd.DataFrame) -> list[dict[str, object]]:
    judged = verdicts[verdicts["state"] != "unknown"].sort_values("window_start", kind="stable")
    judged = judged.assign(bad=judged["state"].isin(BAD))
    odd = judged[judged["feature"].isin(judged.loc[judged["bad"], "feature"])]
    stretches = [stretch for feature, part in odd.groupby("feature") for stretch in _stretches(str(feature), part)]
    lag = LAG * (verdicts["window_end"] - verdicts["window_start"]).max()
    rows: list[dict[str, Any]] = []
    lasting = any(stretch.lasts for stretch in stretches)  # then it is no news that something could not be judged,
    unknown = [one for one in _not_judged(verdicts) if not lasting or one.feature == "images"]  # but that all is dark
    for stretch in [*sorted(stretches, key=lambda one: _order(one.feature, one.since)), *unknown]:
        home = next((row for row in rows if _belongs(stretch, row, lag)), None)
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


def _stretches(feature: str, judged: pd.DataFrame) -> Iterator[_Stretch]:
    """Of the verdicts on one feature, in the order of time, without those that are unknown."""
    bad, newest = judged["bad"], judged["window_start"].iloc[-1]
    what = CAUSES[telling(feature)][0]
    for _, run in judged[bad].groupby((~bad).cumsum()[bad]):
        first, final = run["window_start"].iloc[0], run["window_start"].iloc[-1]
        yield _Stretch(feature, what, worst(list(run["state"])), first, final, lasts=bool(final == newest))


def _not_judged(verdicts: pd.DataFrame) -> Iterator[_Stretch]:
    """What is unknown in the newest window, by reason; without images all else is, and goes without saying.

    Reasons that differ in a number alone, as how few images there are, are one.
    """
    newest = verdicts["window_start"].max()
    unknown = verdicts[(verdicts["window_start"] == newest) & (verdicts["state"] == "unknown")]
    if "images" in set(unknown["feature"]):
        unknown = unknown[unknown["feature"] == "images"]
    for feature, reason in zip(unknown["feature"], unknown["reason"], strict=True):
        past = verdicts[verdicts["feature"] == feature]
        alike = past["reason"].str.replace(NUMBER, "", regex=True) == re.sub(NUMBER, "", reason)
        other = past.loc[(past["state"] != "unknown") | ~alike, "window_start"].max()
        since = past.loc[~(past["window_start"] <= other), "window_start"].min()
        yield _Stretch(feature, f"cannot be judged: {reason}", "unknown", since, newest, lasts=True)


def likely(since: Mapping[str, Any]) -> str:
    """The likely cause of features that stand out at one time, by the time since when each does.

    >>> likely({"brightness": 2, "sharpness": 1, "contrast": 1})
    'picture less sharp: dirty lens, lost focus or stronger compression'
    """
    return CAUSES[telling(foremost(since))][0]


def foremost(since: Mapping[str, Any]) -> str:
    """The feature that tells most of those that stand out at one time, by the time since when each does."""
    return min(since, key=lambda feature: _order(feature, since[feature]))


def _order(feature: str, since: Any) -> tuple[int, Any, int]:
    """The most telling cause first; of those of the picture, the earliest."""
    rank = telling(feature)
    return (telling("brightness") if CAUSES[rank][0] in PICTURE else rank, since, rank)


def telling(feature: str) -> int:
    """Place of a feature's cause in `CAUSES`: the lower, the more it tells."""
    return RANKS.get(feature, len(CAUSES) - 1)


def _belongs(stretch: _Stretch, row: dict[str, Any], lag: pd.Timedelta) -> bool:
    """Whether a stretch is part of a cause already found: the same cause, or what that cause brings with it."""
    if stretch.what == row["what"]:
        return bool(stretch.since <= row["last"] and row["since"] <= stretch.last)
    brought = stretch.what in BROUGHT and row["what"] in BRINGING and row["since"] <= stretch.since <= row["last"]
    over = not stretch.lasts and stretch.last <= row["last"] + lag
    return bool(brought and (row["lasts"] or over))
