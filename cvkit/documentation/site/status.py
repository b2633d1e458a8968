"""The status page: one light per source, since when and why, and how its numbers have moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site import alert_cards
from cvkit.documentation.site.alert_cards import Alarms
from cvkit.documentation.site.report_pages import Link, Report, items, short, window_of
from cvkit.documentation.site.trends import Trend, expectation, light, sparkline, strip
from cvkit.monitoring import diagnosis
from cvkit.monitoring.pages import page_name
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, STATES, worst

KEY_FEATURES = ("brightness", "sharpness", "confidence", "boxes")  # shown where nothing else stands out
TREND_METRICS = ("mean", "share", "jensen_shannon", "count")  # what a feature's line shows, the first there is
SHOWN_WINDOWS = 30  # about a month of days: as much as is legible on a phone
SHOWN_TRENDS = 4
SHOWN_REASONS = 1  # the others are a click away
SHOWN_REPORTS = 6
LATE_WINDOWS = 2  # a newest window older than this many windows is said to be old
FOLDED_FROM = 12  # with more sources, the trend lines of those that are ok are a click away


@dataclass(frozen=True, slots=True)
class Situation:
    """What the status page is made of; tables as the history gives them, of one model and version."""

    model: str
    version: str
    made: datetime
    window_length: timedelta
    runs: pd.DataFrame
    verdicts: pd.DataFrame
    measurements: pd.DataFrame
    reports: tuple[Report, ...]
    settings: Mapping[str, str]  # `reference_id` and `rules_id` that hold now
    alarms: Alarms = field(default_factory=Alarms)
    strangers: tuple[str, ...] = ()  # executed notebooks that the history does not know
    retired: int = 0  # reports that have left the site for their age


@dataclass(frozen=True, slots=True)
class Cause:
    """What is probably the matter with a source."""

    state: str
    words: str
    since: datetime
    features: Sequence[str]  # that show it, the most telling first


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of one source."""

    name: str
    state: str
    since: datetime | None  # start of the first window of this state in a row
    causes: tuple[Cause, ...]
    reasons: tuple[tuple[str, str, str], ...]  # state, feature, reason; the most urgent first
    images: str
    past: tuple[tuple[str, str], ...]  # window, state; oldest first
    trends: tuple[Trend, ...]


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if situation.runs.empty and situation.verdicts.empty:
        return f"{_facts(situation, [])}{_first_steps()}{_reports(situation, link)}"
    found = sources(situation.verdicts, situation.measurements)
    folded = len(found) > FOLDED_FROM
    cards = "".join(_card(source, folded and source.state == "ok") for source in found)
    return (
        f"{_headline(found)}{_facts(situation, found)}{_warnings(situation)}"
        f"{alert_cards.render(situation.alarms, link)}"
        f'<h2 id="sources">Sources</h2>{_overview(found)}<div class="cvkit-cards">{cards}</div>'
        f"{_reports(situation, link)}{_legend(situation)}"
    )


def sources(verdicts: pd.DataFrame, measurements: pd.DataFrame) -> list[Source]:
    """What is known of each source, those that ask for most attention first."""
    if verdicts.empty:
        return []
    states = verdicts.groupby(["source", "window_start"])["state"].agg(lambda column: worst(list(column)))
    shown = shown_windows(verdicts)
    diagnosed = diagnosis.diagnose(verdicts)
    lasting = diagnosed[diagnosed["until"].isna()]
    found = []
    for name in sorted(verdicts.loc[verdicts["window_start"].isin(shown), "source"].unique()):
        rows = lasting[lasting["source"] == name].itertuples()
        causes = tuple(Cause(str(row.state), str(row.what), row.since, str(row.evidence).split(", ")) for row in rows)
        part = verdicts[verdicts["source"] == name]
        found.append(_source(name, part, states[name], causes, measurements[measurements["source"] == name], shown))
    return sorted(found, key=lambda source: (-STATES.index(source.state), source.name))


def shown_windows(verdicts: pd.DataFrame) -> list[pd.Timestamp]:
    """Starts of the windows the page shows, oldest first."""
    return sorted(verdicts["window_start"].unique())[-SHOWN_WINDOWS:]


def _source(
    name: str,
    verdicts: pd.DataFrame,
    states: pd.Series,
    causes: tuple[Cause, ...],
    measurements: pd.DataFrame,
    shown: Sequence[pd.Timestamp],
) -> Source:
    newest = shown[-1]
    current = verdicts[verdicts["window_start"] == newest]
    past = tuple((_day(start), str(states.get(start, "unknown"))) for start in shown if start >= states.index[0])
    if current.empty:
        words = f"nothing was measured of it since the window of {_day(states.index[-1])}"
        missing = min(start for start in shown if start > states.index[-1])
        return Source(name, "unknown", missing, (), (("unknown", "images", words),), "", past, ())
    telling = [feature for cause in causes for feature in cause.features]
    rows = sorted(current.to_dict("records"), key=lambda row: _urgency(row, telling))
    reasons = tuple((row["state"], row["feature"], row["reason"]) for row in rows if row["state"] != "ok")
    images = next((row["reason"] for row in rows if (row["rule"], row["state"]) == ("data", "ok")), "")
    state = worst(list(current["state"]))
    begun = [cause.since for cause in causes if state != "unknown"]
    features = list(dict.fromkeys([feature for kind, feature, _ in reasons if kind != "unknown"]))
    seen = [start for start in shown if start >= states.index[0]]
    trends = tuple(_trends(features, measurements, verdicts, seen))
    return Source(name, state, min(begun, default=_since(states)), causes, reasons, images, past, trends)


def _urgency(row: dict[Any, Any], telling: Sequence[str]) -> tuple[int, int]:
    """Where a verdict stands among the reasons: the worst first, of these what a likely cause names first."""
    place = telling.index(row["feature"]) if row["feature"] in telling else len(telling)
    return -STATES.index(row["state"]), place


def _since(states: pd.Series) -> datetime:
    """Start of the first window of the newest stretch of windows in one state."""
    other = states.index[states != states.iloc[-1]]
    start: datetime = states.index[states.index > other[-1]][0] if len(other) else states.index[0]
    return start


def _trends(
    features: list[str], measurements: pd.DataFrame, verdicts: pd.DataFrame, windows: list[pd.Timestamp]
) -> Iterator[Trend]:
    """Trend lines over `windows` of what is not ok, filled up with the key features."""
    drawn = 0
    for feature in dict.fromkeys([*features, *KEY_FEATURES]):
        part = measurements[measurements["feature"] == feature]
        metric = next((name for name in TREND_METRICS if (part["metric"] == name).any()), None)
        if metric is None or drawn == SHOWN_TRENDS:
            continue
        drawn += 1
        judged = verdicts[verdicts["feature"] == feature].groupby("window_start")["state"].agg(lambda s: worst(list(s)))
        # A window in which the feature was not measured has to be seen as such: it leaves a gap.
        rows = part[part["metric"] == metric].drop_duplicates("window_start").set_index("window_start")
        yield _trend(feature, metric, rows.reindex(windows), judged)


def _trend(feature: str, metric: str, rows: pd.DataFrame, judged: pd.Series) -> Trend:
    unit = FEATURE_UNITS.get(feature, "")
    if metric in ("share", "count"):
        unit = f"{'share of images' if metric == 'share' else 'how often'}: {FINDING_WORDS.get(feature, feature)}"
    elif metric == "jensen_shannon":
        unit = "Jensen-Shannon distance from the reference, 0-1"
    return Trend(
        name=feature.replace("_", " "),
        unit=unit,
        times=[start.to_pydatetime() for start in rows.index],
        values=list(rows["value"]),
        expected=list(rows["expected"]),
        low=list(rows["expected_low"]),
        high=list(rows["expected_high"]),
        states=[str(judged.get(start, "ok")) for start in rows.index],
        percent=metric == "share",
    )


def _headline(found: Sequence[Source]) -> str:
    state = worst([source.state for source in found])
    counts = {name: sum(source.state == name for source in found) for name in reversed(STATES)}
    told = [f"{count} {name}" for name, count in counts.items() if count]
    words = {
        "ok": "Nothing stands out",
        "unknown": "Some sources cannot be judged",
        "warning": "Something has changed",
        "critical": "Something needs attention now",
    }[state]
    many = f"{len(found)} source{'s' * (len(found) != 1)}: {', '.join(told)}"
    return (
        f'<div class="cvkit-headline cvkit-{state}">{light(state)}<div><strong>{words}</strong> '
        f"<span>{many}</span></div></div>"
    )


def _facts(situation: Situation, found: Sequence[Source]) -> str:
    newest = _newest_run(situation.runs)
    facts = {"Model": escape(situation.model), "Champion version": f"<code>{escape(situation.version)}</code>"}
    if newest is not None:
        facts["Last measured window"] = short(window_of(newest))
        facts["Images in it"] = f"{int(newest['images']):,}"
        facts["Bad images in it"] = f"{int(newest['bad_images']):,}"
    broken = sum(report.outcome != "done" for report in situation.reports[: 2 * SHOWN_REPORTS])
    if broken:
        facts["Reports in trouble"] = str(broken)
    listed = "".join(f"<div><dt>{name}</dt> <dd>{value}</dd> </div>" for name, value in facts.items())
    return f'<dl class="cvkit-facts">{listed}</dl>'


def _newest_run(runs: pd.DataFrame) -> dict[str, Any] | None:
    done = runs[runs["status"] == "done"]
    return None if done.empty else dict(done.sort_values("window_start").iloc[-1])


def _warnings(situation: Situation) -> str:
    """What keeps the page from telling the present: a measurement that failed, none for long, or other settings."""
    newest = _newest_run(situation.runs)
    parts = []
    after = pd.Timestamp.min.tz_localize("UTC") if newest is None else newest["window_start"]
    broken = situation.runs[(situation.runs["status"] != "done") & (situation.runs["window_start"] >= after)]
    for row in broken.sort_values("window_start").to_dict("records")[-3:]:
        words = f"The window of {short(window_of(row))} could not be measured"
        parts.append(_banner("critical", words, str(row["error"] or "no reason was recorded: was it killed?")))
    if newest is not None:
        end = newest["window_end"].to_pydatetime()
        late = situation.made - end
        if late > LATE_WINDOWS * situation.window_length:
            words = f"The newest window ended {_duration(late)} before this page was made"
            parts.append(
                _banner(
                    "unknown", words, "What happened since is not known: no newer captures, or cvkit run was not run."
                )
            )
    told = diagnosis.judged_otherwise(situation.runs, situation.settings)
    parts += [_banner("unknown", "The settings have changed", words) for words in told]
    return "".join(parts)


def _banner(state: str, title: str, words: str) -> str:
    text = f"<strong>{escape(title)}</strong><p>{escape(words)}</p>"
    return f'<div class="cvkit-banner cvkit-{state}">{light(state)}<div>{text}</div></div>'


def _duration(time: timedelta) -> str:
    days, hours = time.days, time.seconds // 3600
    return f"{days} day{'s' * (days != 1)}" if days >= 2 else f"{days * 24 + hours} hours"


def _overview(found: Sequence[Source]) -> str:
    chips = "".join(
        f'<a class="cvkit-badge cvkit-{source.state}" href="#{_anchor(source)}">{light(source.state)}'
        f"{escape(source.name) or '(no source)'}</a>"
        for source in found
    )
    return f'<p class="cvkit-chips">{chips}</p>' if len(found) > SHOWN_TRENDS else ""


def _anchor(source: Source) -> str:
    return f"source-{page_name(source.name)}"


def _card(source: Source, folded: bool) -> str:
    title = (
        f'<div class="cvkit-title">{light(source.state)}<h3 id="{_anchor(source)}">'
        f'{escape(source.name) or "(no source)"}</h3><span class="cvkit-word">{source.state}</span></div>'
    )
    begun = f"{'ok ' * (source.state == 'ok')}since {_day(source.since)}" if source.since else ""
    since = f'<p class="cvkit-quiet">{begun}</p>'
    past = f'<div class="cvkit-past">{strip(source.past)}</div>'
    lines = "".join(_trend_row(trend, source.name or "no source") for trend in source.trends)
    if folded and lines:
        lines = f"<details><summary>Trends</summary>{lines}</details>"
    return f'<article class="cvkit-card cvkit-{source.state}">{title}{since}{_why(source)}{past}{lines}</article>'


def _why(source: Source) -> str:
    if source.state == "ok":
        images = f" ({escape(source.images)})" if source.images else ""
        return f'<p class="cvkit-cause">nothing stands out{images}</p>'
    causes = "".join(
        f'<p class="cvkit-cause">{escape(cause.words)}'
        f"{f', since {_day(cause.since)}' if len(source.causes) > 1 else ''}</p>"
        for cause in source.causes
    )
    reasons = [
        f"<li>{light(state)}<span><b>{escape(feature.replace('_', ' '))}</b>: {escape(reason)}</span></li>"
        for state, feature, reason in source.reasons
    ]
    listed = f'<ul class="cvkit-reasons">{"".join(reasons[:SHOWN_REASONS])}</ul>'
    if others := reasons[SHOWN_REASONS:]:
        more = f"{len(others)} more reason{'s' * (len(others) != 1)}"
        listed += f'<details><summary>{more}</summary><ul class="cvkit-reasons">{"".join(others)}</ul></details>'
    return causes + listed


def _trend_row(trend: Trend, source: str) -> str:
    unit = f'<span class="cvkit-quiet">{escape(trend.unit)}</span>' if trend.unit else ""
    value = f"<b>{escape(trend.write(trend.values[-1]))}</b>"
    return (
        f'<div class="cvkit-row"><div class="cvkit-label"><b>{escape(trend.name)}</b> {unit}</div>'
        f"{sparkline(trend, f'{trend.name} of {source}')}"
        f'<div class="cvkit-now">{value}<span class="cvkit-quiet">{escape(expectation(trend))}</span></div></div>'
    )


def _reports(situation: Situation, link: Link) -> str:
    title = '<h2 id="latest-reports">Latest reports</h2>'
    if not situation.reports:
        return f'{title}<p class="cvkit-quiet">None has been written yet.</p>'
    more = f'<p><a href="{escape(link("reports"))}">All {len(situation.reports)} reports</a></p>'
    return title + items(situation.reports[:SHOWN_REPORTS], link, dated=True) + more


def _first_steps() -> str:
    return (
        '<div class="cvkit-empty"><p><strong>Nothing has been measured yet.</strong></p><ol>'
        "<li>Put images where <code>captures.images</code> in <code>cvkit.yml</code> says.</li>"
        "<li><code>cvkit run</code> measures every window that is due and writes its reports.</li>"
        "<li><code>cvkit site</code> builds this page again.</li></ol></div>"
    )


def _legend(situation: Situation) -> str:
    words = {
        "ok": "judged, nothing that matters has changed",
        "unknown": "could not be judged; never the same as ok",
        "warning": "changed by an amount that matters",
        "critical": "changed a lot",
    }
    listed = "".join(f"<li>{light(state)}<span><b>{state}</b>: {words[state]}</span></li>" for state in STATES)
    return (
        f'<div class="cvkit-legend"><ul class="cvkit-reasons">{listed}</ul><p class="cvkit-quiet">The shaded band is '
        "where 95 % of healthy windows lie, the dashed line the reference. Bars are past windows, the higher the "
        f"worse. Times are in UTC. Page made {situation.made:%Y-%m-%d %H:%M} UTC.</p></div>"
    )


def _day(moment: datetime | None) -> str:
    if moment is None:
        return "the beginning"
    time = "" if (moment.hour, moment.minute) == (0, 0) else f" {moment:%H:%M}"
    return f"{moment.day} {moment:%b %Y}{time}"
