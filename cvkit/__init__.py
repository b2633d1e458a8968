"""cvkit keeps computer-vision models healthy after deployment: monitor, maintain, document."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cvkit.config import Config as Config
    from cvkit.config import load_config as load_config
    from cvkit.data.recorder import Recorder as Recorder
    from cvkit.errors import CvkitError as CvkitError
    from cvkit.lab import explore as explore
    from cvkit.monitoring.history import History as History
    from cvkit.monitoring.monitor import Observation as Observation
    from cvkit.monitoring.monitor import observe as observe
    from cvkit.stats.detectors import AnomalyDetector as AnomalyDetector
    from cvkit.stats.detectors import DriftDetector as DriftDetector
    from cvkit.tables import Window as Window

_HOMES = {
    "AnomalyDetector": "cvkit.stats.detectors",
    "Config": "cvkit.config",
    "CvkitError": "cvkit.errors",
    "DriftDetector": "cvkit.stats.detectors",
    "History": "cvkit.monitoring.history",
    "Observation": "cvkit.monitoring.monitor",
    "Recorder": "cvkit.data.recorder",
    "Window": "cvkit.tables",
    "explore": "cvkit.lab",
    "load_config": "cvkit.config",
    "observe": "cvkit.monitoring.monitor",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a main name when it is first used, so that `import cvkit` stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'cvkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
