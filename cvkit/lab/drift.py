"""Drift: one feature, the reference against the window, its numbers and what they mean, and images that show it."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets
import pandas as pd
from matplotlib.figure import Figure

from cvkit.documentation import drift_words, plots
from cvkit.documentation.plots.overview import effects
from cvkit.lab import tiles
from cvkit.lab.part import Part
from cvkit.lab.widgets import Bars, Gallery, Picture
from cvkit.monitoring import changes, exemplars
from cvkit.monitoring.monitor import Observation
from cvkit.tables import FEATURE_UNITS, SIGNS, STATES, worst_by

FEATURES_SAID = (
    "<b>Features</b>, worst verdict first. Bar: size of the change in this window, in standard deviations of the "
    "reference (sd), full from 5 on. x: evidence over all windows, in times what an alarm needs."
)
EXEMPLARS = 4  # images that moved most, each beside the one of the reference that is most like it
WAYS = {1.0: "↑ ", -1.0: "↓ "}  # of a mean
MIXED = "The class mix is of all boxes of a window: no single image stands for it."


class Drift(Part):
    """The feature that is chosen, of the source that is chosen; of all sources, of the one that moved furthest.

    `table` has what was measured of it: table MEASUREMENTS.
    """

    title = "Drift"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Features to choose from, sources to choose from; a figure, numbers, images."""
        self.features, self.sources, self.spread = Bars(), Bars(), Picture()
        self.sources_said, self.lines, self.numbers, self.images_said = (ipywidgets.HTML() for _ in range(4))
        self.lines.layout = {"flex": "1 1 280px", "min_width": "0"}
        self.images = Gallery(pickable=False)
        self._about: Observation | None = None  # that `features` show, and what its streams tell
        self._told = pd.DataFrame()
        self.on(self.features, self._choose_feature, "chosen")
        self.on(self.sources, self._choose_source, "chosen")
        return (
            ipywidgets.HTML(FEATURES_SAID), self.features, self.sources_said, self.sources,
            ipywidgets.HBox([self.spread, self.lines], layout={"flex_flow": "row wrap", "margin": "10px 0 0"}),
            self.numbers, self.images_said, self.images,
        )  # fmt: skip

    def renew(self) -> None:
        """Draw the feature."""
        observation, feature = self.desk.observation(), self.desk.feature
        if observation is not self._about:
            self._about, self._told = observation, changes.told(observation)
            self._show_features(observation, self._told)
        self.features.chosen = feature
        source = self._show_sources()
        rows = observation.measurements
        self.table = rows[(rows["feature"] == feature) & (rows["source"] == source)].reset_index(drop=True)
        self.figure = _figure(observation, feature, source)
        about = f"{feature.replace('_', ' ')} of {source or 'images without a source'}"
        self.spread.show(self.figure, f"{about}: how it is spread, the window against the reference")
        mine = self._told[(self._told["source"] == source) & (self._told["feature"] == feature)]
        self.lines.value = _lines(observation, mine, feature, source)
        numbers = drift_words.numbers(self.table)
        self.numbers.value = numbers.to_html(index=False, border=0, escape=True) if len(numbers) else ""
        self._show_images(observation, feature, source)

    def _show_features(self, observation: Observation, streams: pd.DataFrame) -> None:
        sizes = effects(observation.measurements).groupby("feature")["effect"].max()
        evidence = streams.groupby("feature")["evidence"].max()
        verdicts = observation.verdicts[observation.verdicts["rule"] == "drift"]
        states = worst_by(verdicts, "feature")
        rows = pd.DataFrame({"feature": list(FEATURE_UNITS)})
        rows = rows.assign(
            size=rows["feature"].map(sizes), evidence=rows["feature"].map(evidence),
            state=[states.get(name, "unknown") for name in rows["feature"]],
            # What was not measured, such as F1 without labels, has no verdict, and stands last.
            rank=[STATES.index(states[name]) if name in states else -1 for name in rows["feature"]],
        ).sort_values(["rank", "evidence", "size"], ascending=False, kind="stable", na_position="last")  # fmt: skip
        told = rows.to_dict("records")
        shown = rows.assign(
            key=rows["feature"], name=rows["feature"].str.replace("_", " "), words=[_short(row) for row in told],
            more=[f"{row['feature']} ({FEATURE_UNITS[row['feature']]}): {row['state']}" for row in told],
        )  # fmt: skip
        self.features.show(shown, "features; one can be chosen", self.desk.feature)

    def _show_sources(self) -> str:
        """Show how far each source moved; the one to look at: that which is chosen, or the furthest."""
        desk, feature = self.desk, self.desk.feature
        measured, verdicts = desk.of_all_sources(feature)
        states = worst_by(verdicts[verdicts["rule"] == "drift"], "source")
        here = sorted(set(desk.past.loc[desk.past["window_start"] == pd.Timestamp(desk.window.start), "source"]))
        rows = pd.DataFrame({"source": pd.Series(here, dtype="str")}).merge(effects(measured), on="source", how="left")
        rows["state"] = [states.get(name, "unknown") for name in rows["source"]]
        rows["rank"] = rows["state"].map(STATES.index)
        rows = rows.sort_values(["rank", "effect"], ascending=False, kind="stable", na_position="last")
        names = rows["source"].tolist()
        source = desk.source or (names[0] if names else "")
        told = rows.to_dict("records")
        shown = pd.DataFrame({
            "key": names, "name": [name or "(no source)" for name in names], "size": rows["effect"].tolist(),
            "words": [WAYS.get(row["direction"], "") + _size(feature, row["effect"]) for row in told],
            "state": rows["state"].tolist(), "more": [f"{row.source}: {row.state}" for row in rows.itertuples()],
        })  # fmt: skip
        self.sources.show(shown, f"sources and how far {feature} moved; one can be chosen", desk.source or None)
        about = f"<b>Sources</b> of this window, by how far {html.escape(feature.replace('_', ' '))} moved"
        all_of_them = "; none is chosen: below, the furthest" if not self.desk.source else ""
        self.sources_said.value = f"{about}{all_of_them}." if len(names) > 1 else ""
        self.sources.layout.display = "" if len(names) > 1 else "none"
        return source

    def _show_images(self, observation: Observation, feature: str, source: str) -> None:
        """The images that moved furthest, each beside the one of the reference that is most like it."""
        if feature == "class_mix":
            shown = pd.DataFrame(columns=list(exemplars.COLUMNS))
        elif feature == "embedding":
            shown = exemplars.strangest(exemplars.only(observation, source), most=EXEMPLARS)
        else:
            shown = exemplars.moved_beside_nearest(observation, [(feature, source)], each=EXEMPLARS)
        which = "that are strangest" if feature == "embedding" else "that moved furthest"
        words = f"<b>Images</b> {which}, each before the image of the reference that is most like it"
        nothing = MIXED if feature == "class_mix" else "No image of this window can be shown for this feature."
        self.images_said.value = f"{words}." if len(shown) else html.escape(nothing)
        self.images.show(tiles.of_both(shown, observation))
        self.images.layout.display = "" if len(shown) else "none"

    def _choose_feature(self) -> None:
        if self.features.chosen:
            self.desk.feature = self.features.chosen

    def _choose_source(self) -> None:
        if self.sources.chosen:
            self.desk.source = self.sources.chosen


def _figure(observation: Observation, feature: str, source: str) -> Figure:
    if feature == "class_mix":
        classes = observation.records.classes or observation.reference.classes
        return plots.class_mix(*exemplars.predictions(observation, source), classes, source)
    return plots.distributions(*exemplars.samples(observation, feature, source), feature, source)


def _lines(observation: Observation, told: pd.DataFrame, feature: str, source: str) -> str:
    """The verdict, since when there is an alarm, and what harm to expect, in sentences, as HTML."""
    verdicts = observation.verdicts
    rows = verdicts[(verdicts["source"] == source) & (verdicts["feature"] == feature) & (verdicts["rule"] == "drift")]
    said = [f"{SIGNS[state]} {state}: {reason}." for state, reason in zip(rows["state"], rows["reason"], strict=True)]
    said += [drift_words.alarm(row) for row in told.to_dict("records")]
    if len(told):
        good = changes.quality(observation.reference)
        said.append(drift_words.harm(changes.expected_harm(observation, good, source, feature)))
    lines = said or ["No verdict: too little is known of it here."]
    return f'<div class="cvkit-lines">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</div>'


def _size(feature: str, effect: float) -> str:
    return "-" if pd.isna(effect) else f"{effect:.2g} {'w' if feature == 'class_mix' else 'sd'}"


def _short(row: dict[Any, Any]) -> str:
    if row["rank"] < 0:
        return "not measured"
    size = _size(row["feature"], row["size"])
    return size if pd.isna(row["evidence"]) else f"{size}, {_times(row['evidence'])}x"


def _times(evidence: float) -> str:
    return ">1M" if evidence >= 6 else drift_words.times(evidence).replace("less than ", "<")
