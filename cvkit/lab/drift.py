"""Drift: one feature, the reference against the window, its numbers and what they mean, and images that show it."""

from __future__ import annotations

import ipywidgets

from cvkit.documentation import plots
from cvkit.lab.part import Part, rows
from cvkit.lab.widgets import Gallery, Picture
from cvkit.monitoring import exemplars


class Drift(Part):
    """The feature that is chosen, of the source that is chosen; of all sources, of the one that moved furthest."""

    title = "Drift"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """A figure, numbers, images."""
        self.spread, self.numbers, self.images = Picture(), ipywidgets.HTML(), Gallery()
        return self.spread, self.numbers, self.images

    def renew(self) -> None:
        """Draw the feature."""
        desk = self.desk
        observation = desk.observation()
        feature = desk.feature
        here = observation.measurements[observation.measurements["feature"] == feature]
        source = desk.source or _furthest(here)
        self.table = here[here["source"] == source]
        self.figure = plots.distributions(*exemplars.samples(observation, feature, source), feature, source)
        self.spread.show(self.figure, f"how {feature} is spread, reference against window")
        self.numbers.value = rows(self.table[["metric", "value", "low", "high", "expected", "effect", "p_adjusted"]])


def _furthest(here: object) -> str:
    return ""
