"""What a command line asks for: windows, days, sources and notebooks, or why they cannot be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cvkit import job, moments
from cvkit.config import Config
from cvkit.data import sources
from cvkit.documentation import notebooks
from cvkit.errors import ConfigError, DataError
from cvkit.monitoring import monitor
from cvkit.monitoring.alarms import Key
from cvkit.monitoring.backtest import Event
from cvkit.monitoring.entries import State
from cvkit.monitoring.history import History
from cvkit.tables import Window, worst

LASTING = datetime(2199, 1, 1, tzinfo=UTC)  # end of an event that is not over


def windows(
    config: Config, now: datetime, *, window: str | None = None, start: str | None = None, end: str | None = None,
    notebook: str | None = None, source: str = "",
) -> list[Window]:  # fmt: skip
    """One window, those from `start` to `end`, or, where nothing is asked for, those that are due.

    Due is also what has an unfinished report: of `notebook` about `source`, else of a scheduled one.
    Raises ConfigError for what cannot be or lies in the future; where nothing is asked for, DataError where there are
    no captures at all.
    """
    if end and not start:
        raise ConfigError("--to needs --from", found=f"--to {end}", remedy="name the first day too")
    if window:
        chosen = [_one(config, window)]
    elif start:
        chosen = _stretch(config, start, end, now)
    else:
        chosen = _due(config, now, [notebook] if notebook else list(job.scheduled(config)), source)
    clock = sources.clock(config, now)
    if future := [one for one in chosen if one.start > clock]:
        raise ConfigError(
            f"the window {future[0]} lies in the future",
            found=f"it is {clock:%Y-%m-%d %H:%M}" + (" UTC" if clock == now else f" in {config.captures.time_zone}"),
            remedy="name a window that has begun",
        )  # fmt: skip
    return chosen


def check_names(config: Config, notebook: str | None, source: str) -> None:
    """Raise ConfigError for a notebook or a source that there is not: before the work, not after it."""
    if notebook:
        notebooks.find_notebook(config, notebook)
    if not source:
        return
    with History.open(config.history_url) as history:
        known = set(history.verdicts(model=config.model.name)["source"]) | sources.source_names(config)
    if source not in known:
        shown = sorted(known - {""})
        close = difflib.get_close_matches(source, shown, n=1)
        raise ConfigError(
            f"there is no source `{source}`", expected=", ".join(shown[:20]) or "sources are not told apart",
            found=source, remedy=f"did you mean `{close[0]}`?" if close else "name one of these",
        )  # fmt: skip


def newest_state(config: Config) -> str:
    """The worst verdict on the newest window measured; unknown where there is none."""
    with History.open(config.history_url) as history:
        verdicts = history.verdicts(model=config.model.name, version=history.current_version(config))
    return worst(list(verdicts.loc[verdicts["window_start"] == verdicts["window_start"].max(), "state"]))


def events(texts: Sequence[str], states: Mapping[Key, State]) -> list[Event]:
    """Known changes, as `--event` names them, each once: SOURCE=FIRST_DAY or SOURCE=FIRST_DAY..LAST_DAY.

    Raises ConfigError for a source without evidence, and for days that cannot be or that were not measured.
    """
    return list(dict.fromkeys(_event(text, states) for text in texts))


def _event(text: str, states: Mapping[Key, State]) -> Event:
    source, equals, days = text.rpartition("=")
    first, dots, last = days.partition("..")
    remedy = "write SOURCE=2026-10-10 or SOURCE=2026-10-10..2026-10-14"
    if not equals or not first or (dots and not last):
        raise ConfigError("this names no source and day", expected="SOURCE=DAY", found=text, remedy=remedy)
    seen = sorted(start for (of, _), state in states.items() if of == source for start in state["windows"].starts)
    if not seen:
        known = ", ".join(sorted({of for of, _ in states}))
        raise ConfigError("no window told anything about this source", expected=known, found=text, remedy=remedy)
    start, end = moments.asked(first), moments.asked(last) + timedelta(days=1) if last else LASTING
    if end <= start:
        raise ConfigError("the event ends before it begins", expected="FIRST_DAY..LAST_DAY", found=text, remedy=remedy)
    if end <= datetime.fromisoformat(seen[0]) or start > datetime.fromisoformat(seen[-1]):
        measured = f"days from {seen[0][:10]} to {seen[-1][:10]}"
        raise ConfigError("nothing was measured while this event lasted", expected=measured, found=text, remedy=remedy)
    return Event(source, start, end)


def _one(config: Config, text: str) -> Window:
    start = moments.asked(text)
    window = next(monitor.windows(config, start, start + 2 * config.window_length))
    if window.start != start:
        raise ConfigError(
            f"no window begins at {text}", expected=f"a multiple of {config.window_hours} hours from 00:00 UTC",
            found=text, remedy=f"the window around it is {window.start:%Y-%m-%dT%H:%M}",
        )  # fmt: skip
    return window


def _stretch(config: Config, first: str, last: str | None, now: datetime) -> list[Window]:
    start, end = moments.asked(first), moments.asked(last) if last else now
    if end <= start:
        raise ConfigError(
            "--to does not lie after --from", expected="a later day", found=last or "the future",
            remedy="--to is the first day that is not measured any more",
        )  # fmt: skip
    return list(monitor.windows(config, start, max(end, start + config.window_length)))


def _due(config: Config, now: datetime, names: list[str], source: str) -> list[Window]:
    sources.check_any(config)
    if not sources.capture_dates(config):
        raise DataError(
            "no capture has a time", where=f"{config.path}, captures.images: {config.captures.images}",
            expected=f"times as captures.time_from says: {config.captures.time_from}", found="none",
            remedy="set captures.time_from to where the times are: path, exif or file",
        )  # fmt: skip
    with History.open(config.history_url) as history:
        unfinished = history.unfinished_reports(config.model.name, config.version, names, source)
        return sorted({*monitor.due(config, history, now), *unfinished})
