"""Readers against oracles: what was written is read, whatever it is."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvkit import moments, yaml_files
from cvkit.config.alerts import AlertRule
from cvkit.data.recorder_counters import FIELDS, STATE, losses
from cvkit.data.sources import coco, data_yaml, patterns, voc, yolo_txt
from cvkit.data.sources.said import Said
from cvkit.documentation import front_matter, marked
from cvkit.errors import ConfigError, DataError
from cvkit.monitoring import conditions

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cc", "Cs", "Zl", "Zp")))
XML = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xD7FF, exclude_characters="\x7f\x85\u2028"), max_size=12)
SHARES = st.floats(0.01, 0.99).map(lambda value: round(value, 6))
PIXELS = st.floats(0, 1e6, allow_subnormal=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=12,
)  # fmt: skip


@quick
@given(boxes=st.lists(st.tuples(st.integers(0, 999), SHARES, SHARES, SHARES, SHARES), max_size=6), blank=st.booleans())
def test_yolo_lines_are_boxes_about_their_centres(tmp_path: Path, boxes: list[tuple[Any, ...]], blank: bool) -> None:
    file, out = tmp_path / "a.txt", Said(relative=True)
    file.write_text(("\n\n" if blank else "\n").join(" ".join(map(str, box)) for box in boxes))
    yolo_txt.read_yolo_file(out, "a", str(file), "a.txt", scored=False)
    assert out.problems == []
    for row, (kind, across, down, width, height) in zip(out.rows, boxes, strict=True):
        _, cls, _, x1, y1, x2, y2, *_ = row
        assert cls == kind
        assert ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1) == pytest.approx((across, down, width, height))


@quick
@given(lines=st.lists(st.text(max_size=30), max_size=6), scored=st.booleans())
def test_every_line_of_text_is_a_box_or_a_finding(tmp_path: Path, lines: list[str], scored: bool) -> None:
    file, out = tmp_path / "a.txt", Said(relative=True)
    file.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    yolo_txt.read_yolo_file(out, "a", str(file), "a.txt", scored=scored)
    spoken = [line for line in file.read_bytes().decode("utf-8-sig").splitlines() if line.split()]
    assert len(out.rows) + len(out.problems) == len(spoken)


@quick
@given(
    objects=st.lists(st.tuples(XML, PIXELS, PIXELS, PIXELS, PIXELS), max_size=5),
    code=st.sampled_from(["utf-8", "utf-16"]),
)
def test_voc_as_another_writer_writes_it(tmp_path: Path, objects: list[tuple[Any, ...]], code: str) -> None:
    root = ElementTree.Element("annotation")
    for name, *corners in objects:
        one = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(one, "name").text = name
        box = ElementTree.SubElement(one, "bndbox")
        for edge, corner in zip(voc.EDGES, corners, strict=True):
            ElementTree.SubElement(box, edge).text = repr(corner)
    file = tmp_path / "a.xml"
    file.write_bytes(ElementTree.tostring(root, encoding=code))
    read = voc.read_voc(str(file))
    hidden = any(word in name for name, *_ in objects for word in ("<!DOCTYPE", "<!ENTITY"))
    assert hidden or [(name, box) for name, box, *_ in read.objects] == [
        (name.strip(), tuple(c)) for name, *c in objects
    ]


@quick
@given(code=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-16-be"]), name=st.sampled_from(["DOCTYPE", "ENTITY"]))
def test_no_document_type_is_read_in_any_encoding(tmp_path: Path, code: str, name: str) -> None:
    file = tmp_path / "a.xml"
    file.write_bytes(f'<!{name} a [<!ENTITY b "c">]><annotation><filename>&b;</filename></annotation>'.encode(code))
    assert "document type" in str(voc.read_voc(str(file)))


@quick
@given(
    images=st.dictionaries(st.integers() | st.text(max_size=4), WORDS, max_size=4),
    boxes=st.lists(st.tuples(*[PIXELS] * 4)),
)
def test_coco_as_it_was_written(tmp_path: Path, images: dict[Any, str], boxes: list[tuple[float, ...]]) -> None:
    keys = list(images)
    told = [{"image_id": keys[n % len(keys)], "bbox": list(box)} for n, box in enumerate(boxes)] if keys else []
    content = {"images": [{"id": key, "file_name": name} for key, name in images.items()], "annotations": told}
    file, out = tmp_path / "a.json", Said()
    file.write_text(json.dumps(content))
    read = coco.read_coco(file)
    coco.read_annotations(out, read, {key: str(key) for key in keys}, "a.json")
    assert (read.images, read.broken, out.problems) == (images, [], [])
    assert [row[3:7] for row in out.rows] == [(x, y, x + w, y + h) for x, y, w, h in boxes[: len(told)]]


@settings(max_examples=150)
@given(VALUES)
def test_yaml_reads_what_yaml_writes(value: Any) -> None:
    assert yaml_files.read(yaml.safe_dump(value))[0] == value


@settings(max_examples=200)
@given(st.text("[]{}:,-&*!?|>'\"\\#%@ \nabU0", max_size=40))
def test_yaml_of_any_signs_is_read_as_the_safe_loader_reads_it_or_refused(text: str) -> None:
    try:
        found = yaml_files.read(text)[0]
    except yaml.YAMLError as error:
        line, words = yaml_files.explain(error)
        assert words
        assert line is None or line >= 1
        return
    assert repr(found) == repr(yaml.safe_load(text))


@quick
@given(st.dictionaries(st.integers(0, 10**6), WORDS, max_size=6))
def test_names_of_a_data_set_by_their_ids(tmp_path: Path, names: dict[int, str]) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(yaml.safe_dump({"names": names}), encoding="utf-8")
    assert data_yaml.read_data_yaml(file).names == names
    file.write_text(yaml.safe_dump({"names": {1.5: "a"}}), encoding="utf-8")
    with pytest.raises(DataError):
        data_yaml.read_data_yaml(file)


@settings(max_examples=300)
@given(pattern=st.text("ab*.", min_size=1, max_size=12), name=st.text("ab.", max_size=14))
def test_stars_match_as_those_of_the_standard_library(pattern: str, name: str) -> None:
    if pattern.strip("."):  # a part of dots alone is a folder
        assert bool(patterns.matcher(f"x/{pattern}", "k").fullmatch(f"x/{name}")) == fnmatchcase(name, pattern) or (
            "**" in pattern and pattern.strip("*") == ""
        )


@settings(max_examples=200)
@given(st.integers(0, 12_000), st.sampled_from("hdwx"))
def test_lengths_of_time(number: int, unit: str) -> None:
    fits = unit in moments.UNITS and 0 < number < 10_000
    if fits:
        assert moments.length(f"{number}{unit}") == timedelta(hours=number * {"h": 1, "d": 24, "w": 168}[unit])
    else:
        with pytest.raises(ConfigError):
            moments.length(f"{number}{unit}")


@settings(max_examples=200)
@given(st.text(max_size=30) | st.datetimes().map(str))
def test_moments_lie_in_our_time_or_are_refused(text: str) -> None:
    try:
        found = moments.asked(text)
    except ConfigError:
        return
    assert 1900 <= found.year < 2200
    assert found.utcoffset() is not None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["text", "facts", "people"]), WORDS), max_size=5))
def test_documents_are_written_as_they_were_read(pieces: list[tuple[str, str]]) -> None:
    text = ""
    for number, (kind, body) in enumerate(pieces):
        body = body.replace("<!--", "").strip() + "\n"
        digest = f" {marked.digest_of(body)}" if kind == "facts" else ""
        text += body if kind == "text" else f"<!-- {kind}: n{number}{digest} -->\n{body}<!-- /{kind} -->\n"
    parts = marked.parse(text)
    assert marked.written(parts) == text
    assert [part.name for part in parts if part.kind != "text"] == [
        f"n{n}" for n, (k, _) in enumerate(pieces) if k != "text"
    ]
    assert not any(part.edited for part in parts)


@settings(max_examples=150)
@given(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, min_size=1, max_size=4), WORDS)
def test_front_matter_is_read_as_it_was_written(keys: dict[str, Any], rest: str) -> None:
    hypothesis.assume(
        not any(sign in repr(keys) for sign in ("\\x85", "\\u2028", "\\u2029"))
    )  # the Hub writes them bare
    again, text = front_matter.split(front_matter.joined(keys, rest), "card")
    assert (again, text) == (keys, rest)


@quick
@given(st.lists(st.integers(-10, 10**17), min_size=len(FIELDS), max_size=len(FIELDS)))
def test_counters_of_any_numbers(tmp_path: Path, state: list[int]) -> None:
    folder = tmp_path / ".counters"
    folder.mkdir(exist_ok=True)
    about = json.dumps({"source": "cam-1", "process": "p"}).encode()
    (folder / "p.bin").write_bytes(STATE.pack(*state) + about)
    (folder / "q.bin").write_bytes(STATE.pack(*state) + about)  # says that it is another's
    found = losses(tmp_path)
    taken, written, _, _, refused, given_up, beat_us = state
    whole = min(state) >= 0 and datetime.fromtimestamp(beat_us / 1e6, UTC).year < 2200
    kept = max(taken - given_up, 0)
    assert [(one.accepted, one.written, one.dropped) for one in found] == (
        [(kept, written, refused + given_up)] if whole and (kept > written or refused + given_up) else []
    )


CONDITIONS = st.fixed_dictionaries({}, optional={
    "state": st.sampled_from(["unknown", "warning", "critical"]), "above": st.floats(-9, 9), "below": st.floats(-9, 9),
    "change": st.floats(0.01, 2), "missing": st.booleans(),
})  # fmt: skip


@settings(max_examples=300)
@given(
    metric=st.sampled_from(["any", "drift", "brightness", "brightness.psi", "images", "runs", "own.x"]),
    given=CONDITIONS,
)
def test_a_rule_has_one_condition_and_a_sentence(metric: str, given: dict[str, Any]) -> None:
    asked = {name for name, value in given.items() if value is not False}
    try:
        rule = AlertRule(name="r", metric=metric, **given)
    except ValueError:
        return
    assert asked in ({"state"}, {"above"}, {"below"}, {"above", "below"}, {"change"}, {"missing"})
    assert metric not in ("any", "drift") or asked == {"state"}
    assert asked != {"above", "below"} or given["above"] >= given["below"]
    assert conditions.explain(rule).startswith("r: fires for ")


@settings(max_examples=300)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4))
def test_a_rule_fires_after_so_many_windows_in_a_row(breached: list[bool], need: int) -> None:
    runs = [all(breached[end - need : end]) for end in range(need, len(breached) + 1)]
    found = conditions.course(breached, need)
    assert (found.since >= 0) == any(runs)
    if any(runs):
        assert found.stretches[0][0] == runs.index(True)
        assert all(all(breached[first : first + need]) for first, _ in found.stretches)
        assert all(breached[last] for _, last in found.stretches if last < len(breached) - 1 or not found.firing)
    assert not found.firing or not breached or math.isfinite(found.since)
