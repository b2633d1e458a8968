"""Numbers of people's own: compared with the reference, kept in the history, watched by rules, drawn."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from alert_world import config, day, measured, number, verdict
from scipy import stats
from test_conditions import looks

from cvkit.config import load_config
from cvkit.config.alerts import AlertRule
from cvkit.deployment import promql
from cvkit.documentation import plots
from cvkit.errors import ConfigError
from cvkit.monitoring import alerts, monitor, own
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, Window, conform

GLARE = AlertRule(name="glare", metric="own.glare", above=0.4)


def row(value: float, name: str = "glare", source: str = "cam-1", **more: float) -> dict[str, object]:
    return number(source, "own", value, name, **more)


def add(history: History, window: int, *rows: dict[str, object]) -> None:
    table = conform(pd.DataFrame(rows), MEASUREMENTS)
    history.add_measurements(model="m", version="external", window=day(window), measurements=table)


@pytest.fixture
def history(tmp_path: Path) -> History:
    opened = History.open(config(tmp_path, "rules: [{name: glare, metric: own.glare, above: 0.4, for: 2}]").history_url)
    for place in range(4):
        measured(opened, place, [verdict("cam-1", "noise", "ok")], [number("cam-1", "performance", 0.5, "ap")])
    return opened


def test_a_rule_watches_it(history: History) -> None:
    for place, value in enumerate([0.3, 0.5, 0.6, 0.2]):
        add(history, place, row(value), row(0.9, "glare_of_lamp"))
    change = AlertRule(name="other", metric="own.glare", change=0.5)
    assert looks(history, GLARE) == {("glare", "cam-1"): ".xx."}
    assert looks(history, change) == {}, "nothing to differ from"
    add(history, 1, row(0.5, expected=0.2))
    assert looks(history, change) == {("other", "cam-1"): "x"}
    add(history, 2, row(0.6, n=3))
    assert looks(history, GLARE) == {("glare", "cam-1"): ".x."}, "too few images tell nothing"


def test_it_is_replayed_and_raised(history: History, tmp_path: Path) -> None:
    for place, value in enumerate([0.3, 0.5, 0.6, 0.7]):
        add(history, place, row(value))
    settings = load_config(tmp_path)
    (glare,) = [one for one in alerts.replay(settings, history) if one.rule == "glare"]
    assert [(first.day, last.day, lasts) for first, last, lasts in glare.stretches["cam-1"]] == [(2, 4, True)]
    assert "when own.glare is above 0.4 with all of its interval in 2 windows in a row" in glare.sentence
    raised = {one.rule: one for one in alerts.update(settings, history).alerts}
    notice = alerts.notice(settings, history, raised["glare"])
    assert (notice.metric, notice.value) == ("own.glare", 0.7)
    assert "a limit of your own" in notice.cause
    (asked,) = [one for one in promql.conditions(settings) if one.rule.name == "glare"]
    assert 'feature="own",metric="glare"' in asked.query.replace(", ", ",")
    assert "cvkit_measurement_values" in asked.query, "and only where there are images enough"


def test_it_takes_the_place_of_itself_only_and_stays_when_the_window_is_measured_again(history: History) -> None:
    add(history, 0, row(0.1, "ap"), row(0.2), row(0.3, "glare_of_lamp"))
    add(history, 0, row(0.9))
    measured(history, 0, [verdict("cam-1", "noise", "warning")], [number("cam-1", "performance", 0.6, "ap")])
    kept = history.measurements(start=day(0).start, end=day(0).end)
    told = {(one.feature, one.metric): one.value for one in kept.itertuples() if one.feature != "images"}
    expected = {("performance", "ap"): 0.6, ("own", "ap"): 0.1, ("own", "glare"): 0.9, ("own", "glare_of_lamp"): 0.3}
    assert told == expected
    assert len(kept[kept["feature"] == "own"]) == 3, "once each"


@pytest.mark.parametrize("metric", ["own", "own.", "own.Glare", "own.a-b", "own.<b>", "owen.glare"])
def test_a_name_that_cannot_be_is_refused(metric: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"own\.NAME|did you mean"):
        config(tmp_path, f"rules: [{{name: x, metric: '{metric}', above: 1}}]")
    with pytest.raises(ConfigError):
        config(tmp_path, "rules: [{name: x, metric: own.glare, state: warning}]")


def test_it_is_measured_as_cvkits_own_numbers_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    days = ["2026-09-01", "2026-09-02", "2026-09-03", "2026-09-05"]
    for place, name in enumerate(days):
        for camera in ("cam-1", "cam-2"):
            for minute in range(25):
                file = tmp_path / "captures" / camera / name / f"00{minute:02d}00.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), rng.integers(0, 200, (8, 8), dtype=np.uint8) + 10 * place)
    (tmp_path / "cvkit.yml").write_text(
        "captures: {images: 'captures/{source}/{date}/{time}.png'}\nmodel: {classes: [nut]}\n"
        "reference: {start: 2026-09-01, end: 2026-09-04}\n"
    )
    settings = load_config(tmp_path)
    seen = monitor.observe(settings, Window.day("2026-09-05"))
    now = seen.features.set_index("image_id")["brightness"] / 255
    then = seen.reference.features.set_index("image_id")["brightness"] / 255
    found = own.measure(seen, "light", now, then, (0.0, 1.0)).set_index("source")
    usual = seen.measurements[seen.measurements["feature"] == "brightness"]
    for camera in ("cam-1", "cam-2"):
        mean, ks = (usual[(usual["source"] == camera) & (usual["metric"] == one)].iloc[0] for one in ("mean", "ks"))
        for name in ("value", "low", "high", "expected", "expected_low", "expected_high"):
            assert found.loc[camera, name] == pytest.approx(max(mean[name] / 255, 0))
        assert found.loc[camera, "p_value"] == pytest.approx(ks["p_value"])
        assert found.loc[camera, "effect"] == pytest.approx(ks["effect"])
        assert found.loc[camera, "n"] == 25
    assert found["p_adjusted"].max() == pytest.approx(min(1, max(found["p_value"].max(), 2 * found["p_value"].min())))
    values = now[now.index.str.contains("cam-1")]
    low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.loc["cam-1", "low"], found.loc["cam-1", "high"]) == (pytest.approx(low), pytest.approx(high))
    some = own.measure(seen, "light", now.iloc[:5], pd.Series(dtype=float)).set_index("source")
    assert (some.loc["cam-1", "n"], some.loc["cam-2", "n"]) == (5, 0)
    assert math.isnan(some.loc["cam-1", "expected"])
    with pytest.raises(ConfigError, match="another name"):
        own.measure(seen, "My light", now, then)


def test_it_is_drawn_by_its_name(history: History) -> None:
    for place, value in enumerate([0.3, 0.5]):
        add(history, place, row(value, low=value - 0.1, high=value + 0.1))
    figure = plots.trend(history.measurements(feature="own"), "own", metric="glare")
    words = " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))
    words = " ".join(words.split())
    assert "Glare, window by window" in words
    assert "glare, a number of your own" in words
    nothing = plots.trend(history.measurements(feature="own").iloc[:0], "own", metric="glare")
    assert any("no window has a value of glare" in text.get_text().replace("\n", " ") for text in nothing.texts)
