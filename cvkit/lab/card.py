"""Card."""

from __future__ import annotations

import ipywidgets

from cvkit.lab.part import Part


class Card(Part):
    """Card."""

    title = "Card"

    def build(self) -> tuple[ipywidgets.Widget, ...]:
        """Make the widgets."""
        return (ipywidgets.HTML("to come"),)

    def renew(self) -> None:
        """Nothing yet."""
