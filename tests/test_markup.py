"""What notebooks show of observations, decisions, plans and alerts: short, in words and signs, and as text."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd

import cvkit
from cvkit import markup
from cvkit.maintenance.decision import Decision, Rhythm, Step
from cvkit.maintenance.labelling import Plan
from cvkit.monitoring.alert_store import Alert
from cvkit.monitoring.monitor import Observation
from cvkit.tables import FEATURES, FINDINGS, VERDICTS, Window, conform, empty

EVIL = "<script>alert('x')</script>"
SHOWN = "&lt;script&gt;"


def observation(states: dict[str, str]) -> str:
    verdicts = [
        {"source": source, "rule": "drift", "feature": feature, "state": state, "reason": f"moved {EVIL}"}
        for source, state in states.items() for feature in ("box_area", "noise")
    ]  # fmt: skip
    features = [{"image_id": f"{source}{n}", "source": source} for source in states for n in range(4)]
    findings = [{"image_id": f"{source}1", "finding": kind} for source in states for kind in ("blurred", "noisy")]
    known = SimpleNamespace(
        window=Window.day("2026-10-21"), verdicts=conform(pd.DataFrame(verdicts, columns=list(VERDICTS)), VERDICTS),
        features=conform(pd.DataFrame(features), FEATURES), findings=conform(pd.DataFrame(findings), FINDINGS),
    )  # fmt: skip
    return Observation._repr_html_(cast("Any", known))


def test_an_observation_says_how_each_source_is_the_worst_first() -> None:
    shown = observation({"a": "ok", EVIL: "critical", "": "unknown"})
    assert "Window 2026-10-21: ■ <b>critical</b>" in shown
    assert EVIL not in shown
    assert shown.count(SHOWN) >= 2
    places = [
        shown.index(f"{sign} <b>{state}</b>", 60) for sign, state in (("■", "critical"), ("?", "unknown"), ("●", "ok"))
    ]
    assert places == sorted(places)
    assert "<td style='text-align:left'>4</td><td style='text-align:left'>1</td>" in shown, "images, and bad ones once"
    assert "box area: moved" in shown
    assert "and 1 more" in shown
    assert "(no source)" in shown


def test_nothing_and_many_are_said() -> None:
    nothing = markup.window("w", empty(VERDICTS), empty(FEATURES), empty(FINDINGS))
    assert "? <b>unknown</b>" in nothing
    many = observation({f"cam-{n}": "ok" for n in range(50)})
    assert "and 30 more" in many
    assert many.count("<tr>") == 21
    assert markup.items([f"<{n}>" for n in range(9)]).count("<li>") == 7
    assert "and 3 more" in markup.items(range(9))
    assert markup.items([]) == ""


def test_a_decision_says_why_and_what_would_change_it() -> None:
    step = Step("cam-2", "label first", "no-labels", "nothing", (), (), ())
    made = Decision(
        "retrain fully", "drift", EVIL, f"why {EVIL}", (), (), (f"if {EVIL}",), (step,),
        Rhythm("", *[math.nan] * 4), "e",
    )  # fmt: skip
    shown = made._repr_html_()
    assert "<b>retrain fully</b> for &lt;script&gt;" in shown
    assert "label first for cam-2 (no-labels): nothing" in shown
    assert EVIL not in shown
    assert shown.count(SHOWN) == 3


def test_a_plan_counts_and_an_alert_is_a_line() -> None:
    frame = pd.DataFrame({"source": ["a", "a", EVIL], "drawn": [True, False, True]})
    shown = Plan(frame, frame, frame, {}, 0.1, 0.2, (f"note {EVIL}",))._repr_html_()
    assert "<b>2</b> of 3 images" in shown
    assert (
        "<td style='text-align:left'>a</td><td style='text-align:left'>1</td><td style='text-align:left'>2</td>"
        in shown
    )
    assert EVIL not in shown
    moment = datetime(2026, 10, 10, tzinfo=UTC)
    alert = Alert(
        "f",
        "m",
        "v",
        EVIL,
        "drift",
        "critical",
        "firing",
        moment,
        moment,
        moment,
        moment,
        facts={"cause": "dirt & dust"},
    )
    assert alert._repr_html_() == (
        "<p>■ <b>critical</b>, firing: drift@&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; since 2026-10-10. "
        "dirt &amp; dust</p>"
    )


def test_the_main_names_are_completed_and_explain_themselves() -> None:
    assert set(dir(cvkit)) >= {"explore", "observe", "AnomalyDetector", "DriftDetector", "load_config"}
    assert [name for name in cvkit.__all__ if not (getattr(cvkit, name).__doc__ or "").strip()] == []
