"""The desk: one workspace, and what of it is looked at. All parts of the panel share it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets

from cvkit.config import Config, load_config
from cvkit.errors import ConfigError, CvkitError, DataError
from cvkit.monitoring import diagnosis, monitor, timeline
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.tables import FEATURE_UNITS, STATES, Window, worst

KEPT = 12  # observations that are kept, so that going back takes no time


class Desk(traitlets.HasTraits):
    """A workspace and what of it is looked at: parts observe these traits and change them.

    `window` is one of `windows`, `source` "" or one of `sources`, `stretch` the first and last window of those that
    figures over time show.
    """

    window = traitlets.Instance(Window)
    source = traitlets.Unicode("")
    feature = traitlets.Unicode("brightness")
    stretch = traitlets.Tuple()
    config: Config
    history: History
    version: str
    past: pd.DataFrame  # the worst verdict of each window and source, as `timeline.past` has it
    windows: list[Window]
    sources: list[str]

    def __init__(self, workspace: str | Path, *, window: str = "", source: str = "") -> None:
        super().__init__()
        self._place = Path(workspace).resolve()
        self.read = 0  # how often the workspace was read: rises with every `reload`
        self.reload()
        self.window = self._named(window) if window else self.windows[-1]
        if source and source not in self.sources:
            raise ConfigError("there is no such source", where=source, expected=", ".join(self.sources))
        self.source = source or self._worst_source()
        self.feature = self._telling()

    def reload(self) -> None:
        """Read settings and history anew: others may have written to them. Where that fails, nothing changes."""
        config = load_config(self._place)
        history = History.open(config.history_url)
        try:
            version = history.current_version(config)
            past = timeline.past(history, config.model.name)
            past = past[(past["version"] == version) & (past["state"] != "failed")]
            if past.empty:
                raise DataError(
                    "no window has been measured yet", where=str(config.path), expected="measured windows",
                    remedy="run `cvkit run`, or `cvkit demo` to try cvkit on made-up cameras",
                )  # fmt: skip
        except CvkitError:
            history.close()
            raise
        if self.read:
            self.history.close()
        self.config, self.history, self.version, self.past = config, history, version, past
        pairs = past.drop_duplicates("window_start")[["window_start", "window_end"]]
        self.windows = [Window(start.to_pydatetime(), end.to_pydatetime()) for start, end in pairs.to_numpy(object)]
        self.sources = sorted(set(past["source"]))
        self._reference: Reference | None = None
        self._kept: OrderedDict[tuple[Window, str], Observation] = OrderedDict()
        self._streams: dict[str, dict[Any, Any]] = {}
        self._stood_out: dict[str, list[dict[Any, Any]]] = {}
        self.read += 1

    @property
    def reference(self) -> Reference:
        """What is normal."""
        if self._reference is None:
            self._reference = reference_step.load(self.config)
        return self._reference

    def observation(self) -> Observation:
        """The window and source that are looked at, as the history has them, with their images."""
        key = (self.window, self.source)
        if key not in self._kept:
            if self.source not in self._streams:  # the newest only: of many sources they take memory
                known = self.history.streams(
                    **self._whose(), reference_id=self.reference.id, source=self.source or None
                )
                self._streams = {self.source: known}
            self._kept[key] = monitor.recall(
                self.config, self.window, self.history, self.reference, self.source, self._streams[self.source]
            )
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def measurements(self, **equal: Any) -> pd.DataFrame:
        """Table MEASUREMENTS of the windows of `stretch`, with `window_start` and `window_end`; `equal` as columns."""
        return self.history.measurements(**self._about(), **equal)

    def verdicts(self, **equal: Any) -> pd.DataFrame:
        """Table VERDICTS of the windows of `stretch`, likewise."""
        return self.history.verdicts(**self._about(), **equal)

    def states(self, source: str = "") -> dict[Window, str]:
        """The worst verdict of each window, of `source` or of all."""
        rows = self.past[self.past["source"] == source] if source else self.past
        by = {start: worst(list(part)) for start, part in rows.groupby("window_start")["state"]}
        return {window: by.get(pd.Timestamp(window.start), "unknown") for window in self.windows}

    def shown_windows(self) -> list[Window]:
        """The windows of `stretch`, or all."""
        first, last = self.stretch or (self.windows[0], self.windows[-1])
        return [one for one in self.windows if first <= one <= last]

    def window_states(self) -> dict[str, str]:
        """The worst verdict of each source on the window that is looked at."""
        here = self.past[self.past["window_start"] == pd.Timestamp(self.window.start)]
        return dict(zip(here["source"], here["state"], strict=True))

    def stood_out(self) -> list[dict[Any, Any]]:
        """What was probably the matter with the source on the window (rows of `diagnosis.diagnose`)."""
        if self.source not in self._stood_out:
            found = diagnosis.diagnose(self.history.verdicts(**self._whose(), source=self.source))
            self._stood_out[self.source] = found.to_dict("records")
        start = pd.Timestamp(self.window.start)
        return [
            row
            for row in self._stood_out[self.source]
            if row["since"] <= start and (pd.isna(row["until"]) or start <= row["until"])
        ]

    def of_all_sources(self, feature: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables MEASUREMENTS and VERDICTS of the window that is looked at about one feature, of every source."""
        about = {**self._whose(), "start": self.window.start, "end": self.window.end, "feature": feature}
        return self.history.measurements(**about), self.history.verdicts(**about)

    def _whose(self) -> dict[str, Any]:
        return {"model": self.config.model.name, "version": self.version}

    def _about(self) -> dict[str, Any]:
        first, last = self.stretch or (self.windows[0], self.windows[-1])
        return {**self._whose(), "start": first.start, "end": last.end}

    def _named(self, text: str) -> Window:
        for window in self.windows:
            if window.label == text:
                return window
        known = f"{self.windows[0]} to {self.windows[-1]}"
        raise ConfigError("this window was not measured", where=text, expected=f"one of {len(self.windows)}: {known}")

    def _telling(self) -> str:
        """The feature that tells most of what has been the matter longest; where nothing is, the first."""
        lasting = (row["evidence"].split(", ") for row in reversed(self.stood_out()))
        return next((one for words in lasting for one in words if one in FEATURE_UNITS), str(self.feature))

    def _worst_source(self) -> str:
        by = self.window_states()
        return str(max(self.sources, key=lambda source: STATES.index(by.get(source, "ok"))))
