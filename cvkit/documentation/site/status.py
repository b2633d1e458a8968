"""The status page: one light per source, since when and why, and how its numbers have moved."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import Any

import pandas as pd

from cvkit.documentation.site import alert_cards, overview
from cvkit.documentation.site.report_pages import Link, items, short, window_of
from cvkit.documentation.site.situation import Situation
from cvkit.documentation.site.sources import Source, sources, written_day
from cvkit.documentation.site.trends import Trend, expectation, light, sparkline, strip
from cvkit.monitoring import diagnosis
from cvkit.monitoring.pages import page_name
from cvkit.tables import STATES

SHOWN_REASONS = 1  # the others are a click away
SHOWN_REPORTS = 6
LATE_WINDOWS = 2  # a newest window older than this many windows is said to be old
FOLDED_FROM = 12  # with more sources, the trend lines of those that are ok are a click away


def render(situation: Situation, link: Link) -> str:
    """The page below its title."""
    if situation.runs.empty and situation.verdicts.empty:
        return f"{_warnings(situation)}{_facts(situation)}{_first_steps(situation)}{_reports(situation, link)}"
    found = sources(situation.verdicts, situation.measurements)
    folded = len(found) > FOLDED_FROM
    cards = "".join(_card(source, folded and source.state == "ok") for source in found)
    standing = [one.alert for one in situation.alarms.open]
    rows = overview.table(overview.groups(situation, found, link), situation.made, link)
    return (
        f"{overview.headline(found, standing, situation.behind)}{_warnings(situation)}{rows}{_facts(situation)}"
        f"{alert_cards.render(situation.alarms, link)}"
        f'<h2 id="sources">Sources</h2><div class="cvkit-cards">{cards}</div>'
        f"{_reports(situation, link)}{_legend(situation)}"
    )


def _facts(situation: Situation) -> str:
    newest = _newest_run(situation.runs)
    facts = {}
    if newest is None:
        facts = {"Model": escape(situation.model), "Champion version": f"<code>{escape(situation.version)}</code>"}
    if newest is not None:
        facts["Last measured window"] = short(window_of(newest))
        facts["Images in it"] = f"{int(newest['images']):,}"
        facts["Bad images in it"] = f"{int(newest['bad_images']):,}"
    broken = sum(report.outcome not in ("done", "running") for report in situation.reports[: 2 * SHOWN_REPORTS])
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
    if situation.behind:
        parts.append(_banner("unknown", "What follows is not about the newest windows", situation.behind))
    told = diagnosis.judged_otherwise(situation.runs, situation.settings)
    parts += [_banner("unknown", "The settings have changed", words) for words in told]
    return "".join(parts)


def _banner(state: str, title: str, words: str) -> str:
    text = f"<strong>{escape(title)}</strong><p>{escape(words)}</p>"
    return f'<div class="cvkit-banner cvkit-{state}">{light(state)}<div>{text}</div></div>'


def _duration(time: timedelta) -> str:
    days, hours = time.days, time.seconds // 3600
    return f"{days} day{'s' * (days != 1)}" if days >= 2 else f"{days * 24 + hours} hours"


def _card(source: Source, folded: bool) -> str:
    title = (
        f'<div class="cvkit-title">{light(source.state)}<h3 id="source-{page_name(source.name)}">'
        f'{escape(source.name) or "(no source)"}</h3><span class="cvkit-word">{source.state}</span></div>'
    )
    past = f'<div class="cvkit-past">{strip(source.past)}</div>'
    lines = "".join(_trend_row(trend, source.name or "no source") for trend in source.trends)
    if folded and lines:
        lines = f"<details><summary>Trends</summary>{lines}</details>"
    return f'<article class="cvkit-card cvkit-{source.state}">{title}{_why(source)}{past}{lines}</article>'


def _why(source: Source) -> str:
    if source.state == "ok":
        images = f" ({escape(source.images)})" if source.images else ""
        return f'<p class="cvkit-cause">nothing stands out{images}</p>'
    causes = "".join(
        f'<p class="cvkit-cause">{escape(cause.words)}, since {written_day(cause.since)}</p>' for cause in source.causes
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


def _first_steps(situation: Situation) -> str:
    others = ", ".join(f"<b>{escape(one.model)}</b>" for one in situation.others)
    renamed = (
        f"<p>The history knows of {others}. Was <code>model.name</code> changed? What was measured is kept under the "
        "old name, and shown again with it.</p>"
    )
    return (
        f'<div class="cvkit-empty"><p><strong>Nothing has been measured yet.</strong></p>'
        f"{renamed if others else ''}<ol>"
        "<li>Put images where <code>captures.images</code> in <code>cvkit.yml</code> says.</li>"
        "<li><code>cvkit run</code> measures every window that is due and writes its reports.</li>"
        "<li><code>cvkit site build</code> builds this page again.</li></ol></div>"
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
