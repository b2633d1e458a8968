"""Figures: tables in, one matplotlib Figure out, readable by a newcomer, on a phone, and without telling colours apart.

No function changes matplotlib's settings or pyplot's list of figures, none raises on empty tables: a figure without
data says why. Names that users chose are shown as they are, never read as formulas.
"""

from cvkit.documentation.plots.alarm_lines import alarm_lines
from cvkit.documentation.plots.cards import ages, known_facts, reference_quality
from cvkit.documentation.plots.distributions import class_mix, distributions, strangeness
from cvkit.documentation.plots.over_time import findings_over_time, trend
from cvkit.documentation.plots.overview import heat_map, quality_bars
from cvkit.documentation.plots.quality import believed, by_confidence, confusion, reliability, slice_bars
from cvkit.documentation.plots.retraining import gate_parts, training_curves
from cvkit.documentation.plots.tiles import thumbnails

__all__ = [
    "ages",
    "alarm_lines",
    "believed",
    "by_confidence",
    "class_mix",
    "confusion",
    "distributions",
    "findings_over_time",
    "gate_parts",
    "heat_map",
    "known_facts",
    "quality_bars",
    "reference_quality",
    "reliability",
    "slice_bars",
    "strangeness",
    "thumbnails",
    "training_curves",
    "trend",
]
