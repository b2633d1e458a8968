"""Where images, predictions and labels come from: the only place that knows file formats."""

from cvkit.data.sources.captures import capture_days, load_captures
from cvkit.data.sources.classes import class_names
from cvkit.data.sources.datasets import load_reference

__all__ = ["capture_days", "class_names", "load_captures", "load_reference"]
