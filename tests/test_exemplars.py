"""Which images and features of a window are worth a look, how it stands among earlier windows, what is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import markdown
import numpy as np
import pandas as pd
import pytest

from cvkit.config import Config, load_config
from cvkit.data.records import Records
from cvkit.documentation import wording
from cvkit.monitoring import exemplars
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.monitoring.timeline import timeline
from cvkit.tables import (
    ANOMALIES,
    BOXES,
    FEATURES,
    FINDING_WORDS,
    FINDINGS,
    IMAGES,
    MEASUREMENTS,
    VERDICTS,
    Window,
    conform,
    empty,
)

WINDOW = Window.day("2026-10-05")
NOTHING_EMBEDDED = pd.DataFrame(columns=["image_id", "embedding"])
NOON = pd.Timestamp(WINDOW.start) + pd.Timedelta(hours=12)


def images(ids: list[str], source: str = "a", **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"image_id": ids}).assign(path=lambda t: "/" + t["image_id"], source=source, time=NOON)
    return conform(frame.assign(**columns), IMAGES)


def features(values: list[float], prefix: str, source: str = "a", **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"noise": values, "image_id": [f"{prefix}{i}" for i in range(len(values))]})
    frame = frame.assign(source=source, time=NOON, content=frame["image_id"])
    return conform(frame.assign(**columns), FEATURES)


def observe(**parts: Any) -> Observation:
    usual = [parts.pop("usual_images", empty(IMAGES)), parts.pop("expected", empty(FEATURES))]
    usual += [parts.pop("usual_boxes", empty(BOXES)), empty(BOXES), empty(FINDINGS), NOTHING_EMBEDDED]
    reference = Reference("id", *usual, {"a": None, "b": None}, {0: "nut"})  # type: ignore[dict-item]
    records = Records(parts.pop("images", empty(IMAGES)), parts.pop("boxes", empty(BOXES)), empty(BOXES),
                      empty(FINDINGS), {0: "nut"})  # fmt: skip
    tables = {"features": FEATURES, "findings": FINDINGS, "measurements": MEASUREMENTS, "verdicts": VERDICTS}
    known = {name: parts.get(name, empty(columns)) for name, columns in tables.items()}
    return Observation(
        WINDOW, reference, records, embeddings=NOTHING_EMBEDDED, anomalies=empty(ANOMALIES), streams={}, **known
    )


def found(
    image_id: str, finding: str, source: str = "a", value: float = np.nan, limit: float = np.nan
) -> dict[str, Any]:
    return {"image_id": image_id, "source": source, "time": NOON, "finding": finding, "value": value, "limit": limit}


def moved(source: str, feature: str, effect: float) -> dict[str, Any]:
    return {"source": source, "feature": feature, "metric": "wasserstein", "effect": effect, "value": effect}


def judged(source: str, feature: str, state: str, rule: str = "drift", reason: str = "because") -> dict[str, str]:
    return {"source": source, "feature": feature, "state": state, "rule": rule, "reason": reason}


# -- the worst images -----------------------------------------------------------------------------------------------


def test_visible_findings_are_findings() -> None:
    assert set(exemplars.VISIBLE) < set(FINDING_WORDS)


def test_worst_images_take_turns_and_begin_with_the_worst() -> None:
    rows = [found(f"blur{i}", "blurred", value=2 - i, limit=2) for i in range(5)]
    rows += [found("dark", "too_dark", "b", value=5, limit=10), found("blur0", "noisy", value=9, limit=1)]
    ids = [f"blur{i}" for i in range(5)] + ["dark"]
    worst = exemplars.worst_images(observe(images=images(ids), findings=conform(pd.DataFrame(rows), FINDINGS)), most=4)
    assert list(worst["image_id"]) == ["blur4", "dark", "blur0", "blur3"]  # blurred, dark, noisy; then blurred again
    assert worst["caption"][0] == "a, 05 Oct\nblurred -2, limit 2"
    assert worst["caption"][2].splitlines()[1:] == ["blurred 2, limit 2", "noisy 9, limit 1"]
    assert worst["path"][1] == "/dark"


def test_worst_images_show_few_copies() -> None:
    ids = [f"still{i}" for i in range(5)]
    rows = [found(i, finding) for i in ids for finding in ("frozen", "exact_duplicate")]
    worst = exemplars.worst_images(observe(images=images(ids), findings=conform(pd.DataFrame(rows), FINDINGS)))
    assert list(worst["image_id"]) == ["still0", "still1"]


def test_worst_images_leave_out_what_no_picture_shows() -> None:
    rows = [found("x", "missing_prediction"), found("", "gap"), found("labels/y.txt", "bad_record")]
    worst = exemplars.worst_images(observe(images=images(["x"]), findings=conform(pd.DataFrame(rows), FINDINGS)))
    assert worst.empty
    assert list(worst) == list(exemplars.COLUMNS)


# -- what moved -----------------------------------------------------------------------------------------------------


def test_most_moved_begins_with_what_a_rule_says_then_goes_round_the_sources() -> None:
    rows = [moved("a", "noise", 3), moved("a", "boxes", 2), moved("b", "noise", 9), moved("b", "boxes", np.nan)]
    rows += [moved("c", "noise", 0.1), {**moved("a", "contrast", 99), "metric": "psi"}]
    verdicts = [judged("a", "noise", "warning"), judged("b", "noise", "unknown")]
    observation = observe(
        measurements=conform(pd.DataFrame(rows), MEASUREMENTS), verdicts=conform(pd.DataFrame(verdicts), VERDICTS)
    )
    pairs = exemplars.most_moved(observation)
    assert pairs == [("noise", "a"), ("noise", "b"), ("noise", "c"), ("boxes", "a")]
    assert exemplars.most_moved(observation, ["boxes"]) == [("boxes", "a")]
    assert exemplars.most_moved(observe()) == []


@pytest.mark.parametrize(("now", "expected"), [([9, 5, 7, 2], [9, 7]), ([1, 2, 0, 4], [0, 1])])
def test_moved_images_lie_on_the_side_the_mean_went_to(now: list[float], expected: list[float]) -> None:
    current = features(now, "now")
    observation = observe(features=current, images=images(list(current["image_id"])), expected=features([4, 5], "ref"))
    shown = exemplars.moved_images(observation, "noise", "a", most=2)
    assert [now[int(image_id[-1])] for image_id in shown["image_id"]] == expected


def test_moved_images_show_copies_once_and_skip_what_cannot_be_read() -> None:
    current = features([9, 9, 8, 10], "now", content=["x", "x", "y", "z"], damage=["", "", "", "unreadable"])
    observation = observe(features=current, images=images(list(current["image_id"])), expected=features([4], "ref"))
    assert list(exemplars.moved_images(observation, "noise", "a")["image_id"]) == ["now0", "now2"]


@pytest.mark.parametrize("expected", [[], [np.nan]])
def test_moved_images_without_a_reference_are_none(expected: list[float]) -> None:
    current = features([9], "now")
    observation = observe(features=current, images=images(["now0"]), expected=features(expected, "ref"))
    assert exemplars.moved_images(observation, "noise", "a").empty


def test_gallery_sets_the_typical_image_before_the_furthest(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}").touch()
    expected = features([1, 5, 90], "images/")
    current = features([9, 100, 80, 70], "now")
    corners = pd.DataFrame({"image_id": ["now1", "images/1"], "x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0})
    boxes = conform(corners, BOXES)
    observation = observe(
        features=current,
        images=images(list(current["image_id"])),
        expected=expected,
        usual_images=images(list(expected["image_id"]), path=[str(tmp_path / name) for name in expected["image_id"]]),
        boxes=boxes[:1],
        usual_boxes=boxes[1:],
    )
    shown = exemplars.gallery(observation, [("noise", "a")])
    assert list(shown["image_id"]) == ["images/1", "now1", "now2"]  # the median of the reference, then the highest
    assert shown["path"][0] == str(tmp_path / "images" / "1")
    assert [box.tolist() for box in shown["boxes"]] == [[[1, 2, 3, 4]], [[1, 2, 3, 4]], []]
    (tmp_path / "images" / "1").unlink()  # gone since: only the window's are left
    assert list(exemplars.gallery(observation, [("noise", "a")])["image_id"]) == ["now1", "now2", "now3"]
    assert exemplars.gallery(observation, []).empty


def test_what_moved_most_stands_beside_the_reference_image_most_like_it() -> None:
    expected, current = features([1, 5, 90], "then"), features([9, 100, 80, 70], "now")
    observation = observe(
        features=current,
        images=images(list(current["image_id"])),
        expected=expected,
        usual_images=images(list(expected["image_id"])),
    )
    shown = exemplars.moved_beside_nearest(observation, [("noise", "a")])
    assert list(shown["image_id"]) == ["now1", "then2", "now2", "then2"]  # 100 and 80 are both nearest 90
    assert shown["caption"][1] == "reference, nearest"
    assert exemplars.moved_beside_nearest(observation, []).empty


def test_most_mixed_is_the_source_whose_classes_differ_most() -> None:
    current = pd.concat([features([1], "x", "a"), features([1], "y", "b")])
    expected = pd.concat([features([1], "p", "a"), features([1], "q", "b")])
    now = conform(pd.DataFrame({"image_id": ["x0", "x0", "y0"], "class_id": [0, 1, 1]}), BOXES)
    then = conform(pd.DataFrame({"image_id": ["p0", "p0", "q0"], "class_id": [0, 0, 0]}), BOXES)
    observation = observe(features=current, expected=expected, boxes=now, usual_boxes=then)
    assert exemplars.most_mixed(observation) == "b"
    assert exemplars.most_mixed(observe(features=current)) == ""


def test_only_one_source() -> None:
    current = pd.concat([features([1], "x", "a"), features([1], "y", "b")])
    boxes = conform(pd.DataFrame({"image_id": ["x0", "y0"]}), BOXES)
    both = pd.concat([images(["x0"], "a"), images(["y0"], "b")])
    observation = observe(features=current, images=both, boxes=boxes)
    one = exemplars.only(observation, "b")
    assert list(one.features["image_id"]) == list(one.records.images["image_id"]) == ["y0"]
    assert list(one.records.predictions["image_id"]) == ["y0"]
    assert exemplars.only(observation, "") is observation
    assert exemplars.only(observation, "no such").features.empty


# -- among earlier windows ------------------------------------------------------------------------------------------


def settings(folder: Path, reference: str = "{start: 2026-09-01, end: 2026-09-02}") -> Config:
    text = f"reference: {reference}\n" if "{" in reference else f"reference: {{{reference}}}\n"
    (folder / "cvkit.yml").write_text(text)
    return load_config(folder)


def test_timeline_joins_the_history_and_the_window_as_observed(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with History.open(config.history_url) as history:
        for ago in (40, 3, 2, 1, 0, -1):
            start = WINDOW.start - timedelta(days=ago)
            rows = conform(
                pd.DataFrame([{**moved("a", "noise", 0), "value": float(ago)}, moved("b", "noise", 0)]), MEASUREMENTS
            )
            history.record(
                model="model", version="external", window=Window(start, start + timedelta(days=1)),
                reference_id="r", rules_id="s",
                measurements=rows, verdicts=empty(VERDICTS), images=1, bad_images=0, started=datetime.now(UTC),
            )  # fmt: skip
    now = observe(measurements=conform(pd.DataFrame([{**moved("a", "noise", 0), "value": 77.0}]), MEASUREMENTS))
    measurements, verdicts = timeline(config, now, "a")
    assert list(measurements["value"]) == [3.0, 2.0, 1.0, 77.0]
    assert measurements["window_end"].max() == pd.Timestamp(WINDOW.end)
    assert verdicts.empty
    assert "window_start" in verdicts


def test_timeline_without_a_history_is_the_window_alone(tmp_path: Path) -> None:
    now = observe(measurements=conform(pd.DataFrame([moved("a", "noise", 1)]), MEASUREMENTS))
    assert len(timeline(settings(tmp_path), now)[0]) == 1


# -- words ----------------------------------------------------------------------------------------------------------


def table(*rows: dict[str, str]) -> pd.DataFrame:
    return conform(pd.DataFrame(list(rows)), VERDICTS)


def test_the_verdict_names_sources_by_state_the_worst_first() -> None:
    verdicts = table(
        judged("a", "noise", "critical"), judged("b", "noise", "ok"), judged("c", "images", "unknown", "data"),
        judged("b", "blurred", "critical", "quality"),
    )  # fmt: skip
    line = wording.verdict_line(verdicts, rules=["drift"], ok="as ever", not_ok="changed")
    assert line == "**■ critical:** a changed. **? unknown:** c cannot be judged. **● ok:** b as ever."
    assert "unknown" in wording.verdict_line(empty(VERDICTS), ok="as ever", not_ok="changed")


def test_reasons_name_the_worst_first_and_count_what_they_leave_out() -> None:
    many = [judged("b", f"feature_{i}", "warning") for i in range(6)]
    text = wording.reasons(
        table(judged("c", "x", "ok"), *many, judged("a", "noise", "critical", reason="1 < 2")), each=4
    )
    assert text.index("**a**") < text.index("**b**")
    assert "- ■ **critical**, noise: 1 &#60; 2" in text
    assert "- and 2 more" in text
    assert "**c**" not in text
    assert wording.reasons(empty(VERDICTS)) == "No rule found anything to report."


def test_a_source_that_cannot_be_judged_is_said_once() -> None:
    rows = [judged("a", "noise", "unknown"), judged("a", "boxes", "unknown"), judged("a", "images", "unknown", "data")]
    assert wording.reasons(table(*rows)).count("unknown") == 1


def test_names_cannot_become_markup() -> None:
    name = "<script>alert(1)</script> *b* _i_ [l](http://x) $m$ `c` | # &amp;\n\n# h"
    html = markdown.markdown(wording.escape(name))
    assert html.count("<") == 2  # the paragraph's own
    line = wording.verdict_line(table(judged(name, "x", "critical")), ok="fine", not_ok="bad")
    assert "<script" not in markdown.markdown(line)


def test_amounts_count_images_once() -> None:
    counts = [{"source": "a", "feature": "images", "metric": "count", "value": 24, "expected": np.nan, "n": 20},
              {"source": "", "feature": "images", "metric": "count", "value": 3, "expected": 24.0, "n": 3}]  # fmt: skip
    findings = conform(pd.DataFrame([found("x", "blurred"), found("x", "noisy"), found("", "gap")]), FINDINGS)
    shown = wording.amounts(conform(pd.DataFrame(counts), MEASUREMENTS), findings)
    assert list(shown.index) == ["a", "(no source)"]
    assert shown.loc["a"].tolist() == [24, "?", 20, 1]
    assert shown.loc["(no source)"].tolist() == [3, "24", 3, 0]
