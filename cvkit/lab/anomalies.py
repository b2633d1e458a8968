"""Anomalies: images unlike any of the reference, flagged at a share of false flags that can be tried out."""

from __future__ import annotations

import ipywidgets

from cvkit.documentation import plots, wording
from cvkit.lab import tiles
from cvkit.lab.part import Part, marked
from cvkit.lab.widgets import Gallery, Picture
from cvkit.monitoring import anomalies, exemplars

LEVELS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
STRANGEST = 12  # images shown, each beside the reference's most like it


class Anomalies(Part):
    """How strange the images are, and which are flagged where `level` of the flags may be false.

    `table` has the flagged images (table ANOMALIES), the strangest first.
    """

    title = "Anomalies"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """A slider, what it flags, a figure, the strangest images."""
        own = self.desk.config.rules.false_flags
        self.level = ipywidgets.SelectionSlider(
            options=[(f"{100 * one:g} %", one) for one in sorted({*LEVELS, own})], value=own,
            description="Share of flags that may be false", continuous_update=True,
            style={"description_width": "initial"}, layout={"width": "520px"},
        )  # fmt: skip
        self.words, self.spread, self.images = ipywidgets.HTML(), Picture(), Gallery()
        self.images.add_class("cvkit-pairs")
        self.words.add_class("cvkit-tall")
        self.on(self.level, self._flag)
        return self.level, self.words, self.spread, ipywidgets.HTML(ABOUT), self.images

    def renew(self) -> None:
        """Show the window's images."""
        self._flag()
        observation = self.desk.observation()
        self.images.show(tiles.of_both(exemplars.strangest(observation, most=STRANGEST), observation))

    def _flag(self) -> None:
        desk = self.desk
        observation, level = desk.observation(), self.level.value
        flagged = anomalies.flag(observation.anomalies, observation.reference, level, desk.config.window_length)
        self.table = flagged[flagged["flagged"]].sort_values(["p_value", "score"], ascending=[True, False])
        own = desk.config.rules.false_flags
        usually = "" if level == own else f"\n\nThe settings' `rules.false_flags` is {100 * own:g} %: reports use that."
        self.words.value = marked(wording.anomaly_line(flagged, level) + usually)
        # Points stay where they are while flags move: held against what is usual by the settings.
        fixed = observation.anomalies["usual"].fillna(flagged["usual"])
        self.figure = plots.strangeness(flagged.assign(usual=fixed))
        about = f"how strange the images of {desk.source or 'all sources'} are; {len(self.table)} are flagged"
        self.spread.show(self.figure, about)


ABOUT = "<h4>The strangest images, each followed by the image of the reference that is most like it</h4>"
