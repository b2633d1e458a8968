"""Figures say what they show, survive whatever tables hold, and leave matplotlib as they found it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import _pylab_helpers
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cvkit.documentation import plots
from cvkit.documentation.plots import quality, style, tiles
from cvkit.maintenance.gate_results import PARTS
from cvkit.stats.quality import boxes as arrays
from cvkit.stats.quality import operation
from cvkit.stats.quality.box_matching import match
from cvkit.stats.quality.calibration import calibration
from cvkit.tables import (
    BOXES,
    FINDING_WORDS,
    MEASUREMENTS,
    PREDICTION_FEATURES,
    PROPERTIES,
    SLICES,
    VERDICTS,
    Window,
    conform,
    empty,
)

FIRST = datetime(2026, 10, 1, tzinfo=UTC)
HOSTILE = ("$\\frac$ <b>", "摄像头 1", "a" * 90, "", "cam_$1 #=%", "tab\tand\nline")
NOWHERE = np.empty((0, 4))
NO_MATCHES = match(arrays.truth([], [], NOWHERE), arrays.predictions([], [], NOWHERE, []), images=1, categories=1)
PERIOD = {"window_start": "datetime64[us, UTC]", "window_end": "datetime64[us, UTC]"}


def made_up(sources: tuple[str, ...], windows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measurements and verdicts of `windows` days; the first source drifts, the last is unknown."""
    rng = np.random.default_rng(7)
    measured, judged = [], []
    for number in range(windows):
        start = FIRST + timedelta(days=number)
        rows, verdicts = [], []
        for place, source in enumerate(sources):
            far = 0.1 + (0.2 * number if place == 0 else 0.0)
            here = {"source": source, "n": 24, "n_reference": 300}
            rows.append({**here, "feature": "images", "metric": "count", "value": 24, "expected": 24})
            for feature in (*PROPERTIES, *PREDICTION_FEATURES):
                mean = 5 - far + rng.normal(0, 0.02)
                rows.append({**here, "feature": feature, "metric": "mean", "value": mean, "low": mean - 0.1,
                             "high": mean + 0.1, "expected": 5, "expected_low": 4.8, "expected_high": 5.2})  # fmt: skip
                rows.append({**here, "feature": feature, "metric": "wasserstein", "value": far, "effect": far})
                state = "unknown" if place == len(sources) - 1 > 0 else "critical" if far > 0.8 else "ok"
                verdicts.append({"source": source, "rule": "drift", "feature": feature, "state": state})
            for finding in FINDING_WORDS:
                share = min(1.0, far) if finding == "blurred" else 0.0
                rows.append({**here, "feature": finding, "metric": "share", "value": share, "low": max(share - 0.1, 0),
                             "high": share + 0.1, "expected": 0.0, "effect": share})  # fmt: skip
        period = {"window_start": pd.Timestamp(start), "window_end": pd.Timestamp(start + timedelta(days=1))}
        measured.append(conform(pd.DataFrame(rows), MEASUREMENTS).assign(**period))
        judged.append(conform(pd.DataFrame(verdicts), VERDICTS).assign(**period))
    return pd.concat(measured, ignore_index=True), pd.concat(judged, ignore_index=True)


def newest(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["window_start"] == table["window_start"].max()]


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def draw(figure: Figure) -> None:
    """Draw every part, small; any warning fails the test."""
    figure.savefig(io.BytesIO(), dpi=40)


def boxes(class_ids: list[int]) -> pd.DataFrame:
    return conform(pd.DataFrame({"class_id": class_ids}), BOXES)


def all_figures(sources: tuple[str, ...] = ("cam-1", "cam-2", "cam-3"), windows: int = 4) -> dict[str, Figure]:
    measurements, verdicts = made_up(sources, windows)
    now = Window(FIRST + timedelta(days=windows - 1), FIRST + timedelta(days=windows))
    rng = np.random.default_rng(1)
    return {
        "trend": plots.trend(measurements, "sharpness", verdicts=verdicts, current=now),
        "share": plots.trend(measurements, "blurred", metric="share"),
        "count": plots.trend(measurements, "images", metric="count"),
        "findings": plots.findings_over_time(measurements, current=now),
        "heat map": plots.heat_map(newest(measurements), newest(verdicts)),
        "quality": plots.quality_bars(newest(measurements), newest(verdicts)),
        "distributions": plots.distributions(rng.normal(size=300), rng.normal(1, 1, 24), "noise", sources[0]),
        "class mix": plots.class_mix(boxes([0, 0, 1]), boxes([1, 7]), {0: "nut", 1: sources[0]}, sources[0]),
    }


# -- every figure ---------------------------------------------------------------------------------------------------


def test_every_figure_has_title_axes_and_letters_that_can_be_read() -> None:
    for name, figure in all_figures().items():
        draw(figure)
        assert figure.get_suptitle(), name
        labels = [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes] + [figure.get_supylabel()]
        assert any(labels), name
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        assert min(sizes) >= 9, name
        assert figure.get_figwidth() <= 8, name
        assert to_hex(figure.get_facecolor()) == "#ffffff", name  # opaque: readable on a dark page


def test_figures_leave_matplotlib_as_it_was() -> None:
    before = copy.deepcopy(dict(mpl.rcParams))
    for figure in all_figures().values():
        draw(figure)
    assert dict(mpl.rcParams) == before
    assert not _pylab_helpers.Gcf.figs


@pytest.mark.parametrize(
    ("sources", "windows"),
    [(("",), 1), (HOSTILE, 2), (tuple(f"line-{i}" for i in range(30)), 1)],
    ids=["one", "odd names", "thirty"],
)
def test_figures_of_any_sources(sources: tuple[str, ...], windows: int) -> None:
    for figure in all_figures(sources, windows).values():
        draw(figure)


@pytest.mark.parametrize(
    "make",
    [
        lambda: plots.trend(empty({**MEASUREMENTS, **PERIOD}), "noise"),
        lambda: plots.trend(made_up(("a",), 2)[0], "no such feature"),
        lambda: plots.gate_parts(empty(PARTS)),
        lambda: plots.training_curves(pd.DataFrame()),
        lambda: plots.findings_over_time(empty({**MEASUREMENTS, **PERIOD})),
        lambda: plots.heat_map(empty(MEASUREMENTS), empty(VERDICTS)),
        lambda: plots.quality_bars(empty(MEASUREMENTS), empty(VERDICTS)),
        lambda: plots.distributions([], [], "noise", "cam-1"),
        lambda: plots.distributions([np.nan], [np.nan, np.inf], "noise", "cam-1"),
        lambda: plots.class_mix(empty(BOXES), empty(BOXES), {}),
        lambda: plots.thumbnails([]),
        lambda: plots.believed(empty({**MEASUREMENTS, **PERIOD})),
        lambda: plots.slice_bars(empty(SLICES)),
        lambda: plots.by_confidence(operation.curve(NO_MATCHES), 0.25, 0.5),
        lambda: plots.confusion(np.zeros((3, 3)), ["nut", "bolt"]),
        lambda: plots.reliability(calibration(NO_MATCHES)),
    ],
)
def test_nothing_to_show_is_said(make: Callable[[], Figure]) -> None:
    figure = make()
    draw(figure)
    assert "no data: " in words(figure)
    assert figure.get_suptitle()


def test_names_are_never_formulas() -> None:
    figure = plots.distributions([1.0], [2.0], "noise", r"$\alpha$")
    draw(figure)
    title = figure._suptitle  # type: ignore[attr-defined]
    assert title._preprocess_math(title.get_text())[1] is False


# -- over time ------------------------------------------------------------------------------------------------------


def test_trend_marks_states_by_shape_and_word() -> None:
    measurements, verdicts = made_up(("cam-1", "cam-2"), 6)
    said = words(plots.trend(measurements, "noise", verdicts=verdicts, current=Window.day("2026-10-06")))
    for word in ("critical", "unknown", "95 % of healthy windows", "this report's window", "UTC"):
        assert word in said
    markers = {marker for marker, _ in style.MARKS.values()}
    assert len(markers) == 3  # ok and unknown share a circle: filled and empty
    assert style.MARKS["ok"][1] != style.MARKS["unknown"][1] == style.PAPER


def test_trend_survives_gaps_and_missing_intervals() -> None:
    measurements, _ = made_up(("a",), 5)
    gappy = measurements[measurements["window_start"] != pd.Timestamp(FIRST + timedelta(days=2))].copy()
    gappy[["low", "high", "expected_low"]] = np.nan
    gappy.loc[gappy.index[:40], "value"] = np.nan
    draw(plots.trend(gappy, "noise"))


def test_trend_of_many_sources_draws_those_that_stand_out() -> None:
    sources = tuple(f"cam-{i}" for i in range(40))
    measurements, _ = made_up(sources, 8)
    figure = plots.trend(measurements, "noise")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "cam-0" in titles
    assert len(titles) < len(sources)
    assert "of 40 sources" in words(figure)


def test_findings_over_time_draws_only_what_was_found() -> None:
    measurements, _ = made_up(("a", "b"), 3)
    figure = plots.findings_over_time(measurements)
    assert "blurred" in words(figure)
    assert "too dark" not in words(figure)
    healthy = measurements.assign(value=0.0)
    assert "no image of these windows had a finding" in words(plots.findings_over_time(healthy))


# -- one window -----------------------------------------------------------------------------------------------------


def effects(pairs: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [
        {"feature": feature, "source": source, "metric": "wasserstein", "effect": effect}
        for (feature, source), effect in pairs.items()
    ]
    return conform(pd.DataFrame(rows), MEASUREMENTS)


def test_heat_map_writes_every_effect_and_marks_the_verdict() -> None:
    table = effects({("noise", "a"): 0.12, ("noise", "b"): 7.4, ("boxes", "a"): np.nan, ("boxes", "b"): np.inf})
    verdicts = pd.DataFrame(
        [{"source": "b", "rule": "drift", "feature": "noise", "state": "critical", "reason": ""},
         {"source": "a", "rule": "drift", "feature": "boxes", "state": "unknown", "reason": ""}]
    )  # fmt: skip
    figure = plots.heat_map(table, verdicts)
    draw(figure)
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(cells) == sorted(["0.12", "7.4", "?", "∞"])
    offsets = [tuple(np.round(c.get_offsets()[0])) for c in figure.axes[0].collections if len(c.get_offsets())]
    assert offsets == [(1.0, 0.0)]  # source b, noise: the first row, as FEATURE_UNITS has it
    assert "critical" in words(figure)
    assert "warning" not in words(figure)


def test_heat_map_tells_directions_by_arrows() -> None:
    rows = effects({("noise", "a"): 1.0, ("boxes", "a"): 1.0})
    means = conform(
        pd.DataFrame(
            [{"source": "a", "feature": "noise", "metric": "mean", "value": 3.0, "expected": 2.0},
             {"source": "a", "feature": "boxes", "metric": "mean", "value": 1.0, "expected": 2.0}]
        ),
        MEASUREMENTS,
    )  # fmt: skip
    cells = [text.get_text() for text in plots.heat_map(pd.concat([rows, means]), empty(VERDICTS)).axes[0].texts]
    assert cells == ["↑1.0", "↓1.0"]


def test_heat_map_colours_keep_their_order_in_grey() -> None:
    colours = np.array([mpl.colormaps["YlOrBr"](step)[:3] for step in np.linspace(0, 1, 20)])
    luminance = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) < 0).all()


def test_quality_bars_start_with_the_largest_excess() -> None:
    rows = [
        {"source": "a", "feature": finding, "metric": "share", "value": value, "expected": usual, "n": 20,
         "low": 0.0, "high": 1.0, "effect": value - usual}
        for finding, value, usual in (("noisy", 0.5, 0.45), ("blurred", 0.4, 0.0), ("too_dark", 0.0, 0.0))
    ]  # fmt: skip
    figure = plots.quality_bars(conform(pd.DataFrame(rows), MEASUREMENTS))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["a · noisy", "a · blurred"]  # drawn from below
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths == [0.5, 0.4]
    clean = conform(pd.DataFrame(rows), MEASUREMENTS).assign(value=0.0)
    assert "none of the window's 20 images has a finding" in words(plots.quality_bars(clean))


@pytest.mark.parametrize(
    ("then", "now"),
    [([1.0] * 50, [1.0] * 50), ([1.0] * 50, []), ([], [1.0]), ([0.0], [0.0]), ([1e-300, 2e-300], [1e300]),
     ([np.nan, 1.0, 2.0] * 20, [np.nan]), (list(range(100_000)), list(range(30)))],
)  # fmt: skip
def test_distributions_of_any_values(then: list[float], now: list[float]) -> None:
    draw(plots.distributions(then, now, "noise", "cam-1"))


def test_distributions_show_shares_of_all_values_and_their_number() -> None:
    rng = np.random.default_rng(3)
    figure = plots.distributions(rng.normal(size=400), [*rng.normal(3, 1, 40), np.nan], "noise", "cam-1")
    sums = [float(patch.get_data().values.sum()) for patch in figure.axes[0].patches if hasattr(patch, "get_data")]
    assert sums == pytest.approx([1.0] * len(sums))
    assert "reference (n = 400)" in words(figure)
    assert "this window (n = 40; 1 without a value)" in words(figure)
    assert "noise (grey levels, standard deviation)" in words(figure)


def test_few_images_are_drawn_one_by_one() -> None:
    figure = plots.distributions(np.random.default_rng(3).normal(size=400), [1.0, 2.0, 3.0], "noise", "cam-1")
    points = [c.get_offsets() for c in figure.axes[0].collections if len(c.get_offsets()) == 3]
    assert [list(p[:, 0]) for p in points] == [[1.0, 2.0, 3.0]]


def test_class_mix_draws_shares_and_names_unknown_classes() -> None:
    figure = plots.class_mix(boxes([0, 0, 0, 1]), boxes([1, 5]), {0: "nut", 1: "bolt"}, "cam-1")
    widths = sorted(patch.get_width() for patch in figure.axes[0].patches)
    assert widths == [0.0, 0.0, 0.25, 0.5, 0.5, 0.75]
    assert "class 5" in words(figure)
    many = plots.class_mix(boxes(list(range(80))), boxes([3]), {})
    assert "of 80 classes" in words(many)
    assert "class 3" in words(many)


# -- thumbnails -----------------------------------------------------------------------------------------------------


def photo(path: Path, width: int = 60, height: int = 40) -> Path:
    """Left half blue, right half red."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 2] = pixels[:, width // 2 :, 0] = 200
    Image.fromarray(pixels).save(path, quality=95)
    return path


def test_broken_images_are_tiles_that_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    names = ["empty.jpg", "text.png", "folder.jpg", "not there.jpg", "$x$ \0.jpg"]
    figure = plots.thumbnails([str(tmp_path / name) for name in names], ["caption $1"] * 5)
    draw(figure)
    assert words(figure).count("cannot be read") == 5
    assert "the file has no bytes" in words(figure)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_pictures_keep_their_colours_and_size(tmp_path: Path, suffix: str) -> None:
    picture, width, height = tiles.small_picture(str(photo(tmp_path / f"a{suffix}", 1200, 800)))
    assert (width, height) == (1200, 800)
    assert max(picture.shape[:2]) <= tiles.SIDE
    assert picture[:, 10].mean(axis=0) == pytest.approx([0, 0, 200], abs=12)
    assert picture[:, -10].mean(axis=0) == pytest.approx([200, 0, 0], abs=12)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pictures_stand_upright(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees clockwise: what was left is on top
    with Image.open(photo(tmp_path / f"a{suffix}")) as image:
        image.save(tmp_path / f"b{suffix}", exif=exif)
    picture, width, height = tiles.small_picture(str(tmp_path / f"b{suffix}"))
    assert (width, height) == (40, 60)
    assert picture.shape[0] > picture.shape[1]
    assert picture[5].mean(axis=0) == pytest.approx([0, 0, 200], abs=12)


def test_a_truncated_jpeg_shows_what_is_there(tmp_path: Path) -> None:
    data = photo(tmp_path / "a.jpg", 600, 400).read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * 0.7)])
    picture, *_ = tiles.small_picture(str(tmp_path / "a.jpg"))
    assert picture[5, 10].astype(float) == pytest.approx([0, 0, 200], abs=12)


def test_grey_16_bit_and_transparent_pictures_are_shown(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((20, 20), 32768, np.uint16))
    Image.new("RGBA", (20, 20), (10, 200, 10, 128)).save(tmp_path / "clear.png")
    Image.new("L", (20, 20), 90).save(tmp_path / "grey.jpg")
    Image.new("CMYK", (20, 20)).save(tmp_path / "print.jpg")
    deep, clear, grey, printed = (
        tiles.small_picture(str(tmp_path / name))[0] for name in ("deep.png", "clear.png", "grey.jpg", "print.jpg")
    )
    assert deep.mean() == pytest.approx(128, abs=1)
    assert clear[0, 0].astype(float) == pytest.approx([10, 200, 10], abs=1)
    assert grey.mean() == pytest.approx(90, abs=2)
    assert printed.shape == (20, 20, 3)


def test_boxes_are_outlined_in_the_images_own_pixels(tmp_path: Path) -> None:
    file = str(photo(tmp_path / "a.jpg", 1200, 800))
    figure = plots.thumbnails([file], boxes=[[[300, 200, 900, 600]]])
    outline = figure.axes[0].patches[-1]
    assert outline.get_bbox().extents == pytest.approx([300, 200, 900, 600])
    assert figure.axes[0].get_xlim() == (0, 1200)


def test_only_so_many_thumbnails(tmp_path: Path) -> None:
    file = str(photo(tmp_path / "a.jpg"))
    figure = plots.thumbnails([file] * 30, ["long caption " * 20] * 30, most=6)
    draw(figure)
    assert sum(bool(axes.images) for axes in figure.axes) == 6
    assert "6 of 30" in words(figure)


# -- quality --------------------------------------------------------------------------------------------------------


def slices_table(n: int) -> pd.DataFrame:
    rows = {"by": "size", "slice": [f"size $kind {k}$" for k in range(n)], "images": 40, "boxes": 90, "recall": 0.5,
            "precision": 0.9, "f1": np.linspace(0.2, 0.9, n), "low": 0.15, "high": 0.95, "rest": 0.8,
            "p_value": np.linspace(0.001, 1, n)}  # fmt: skip
    return conform(pd.DataFrame(rows), SLICES)


def test_slices_that_are_surely_worse_are_marked_and_the_others_counted() -> None:
    figure = plots.slice_bars(slices_table(30))
    draw(figure)
    said = words(figure)
    for word in ("surely worse", "the first 20 of 30", "all other boxes", r"size \$kind 0\$ (40)"):
        assert word in said
    calm = slices_table(3).assign(p_value=1.0, low=np.nan)
    assert "surely worse" not in words(plots.slice_bars(calm))


def test_quality_by_confidence_has_lines_of_different_kinds_and_where_they_are_read() -> None:
    curve = operation.Curve(*(np.array(values) for values in ([0.9, 0.6, 0.3], [1, 0.9, 0.7], [0.2, 0.5, 0.8],
                                                              [0.33, 0.64, 0.75])))  # fmt: skip
    figure = plots.by_confidence(curve, deployed=0.25, confidence=0.61)
    draw(figure)
    lines = figure.axes[0].lines
    assert len({str(line.get_linestyle()) for line in lines[:3]} | {str(lines[1]._dash_pattern)}) > 1  # type: ignore[attr-defined]
    assert lines[0].get_ydata().tolist() == [1, 0.9, 0.7]  # type: ignore[union-attr]
    assert [line.get_xdata() for line in lines[3:]] == [[0.25, 0.25], [0.61, 0.61]]
    for word in ("precision", "recall", "F1", "deployed: 0.25", "looked at", "higher is better"):
        assert word in words(figure)


def test_a_confusion_matrix_has_its_counts_where_they_belong() -> None:
    table = np.array([[30.0, 2, 5], [0, 8, 1], [4, 0, 0]])
    figure = plots.confusion(table, ["nut $x$", HOSTILE[1]])
    draw(figure)
    told = {tuple(map(int, text.get_position())): text.get_text() for text in figure.axes[0].texts}
    assert told == {(0, 0): "30", (1, 0): "2", (2, 0): "5", (1, 1): "8", (2, 1): "1", (0, 2): "4"}
    for word in (r"nut \$x\$", "nothing", "predicted as", "labelled as"):
        assert word in words(figure)
    quality.count(figure.axes[0], table.T)
    told = {tuple(map(int, text.get_position())): text.get_text() for text in figure.axes[0].texts}
    assert told == {(0, 0): "30", (0, 1): "2", (0, 2): "5", (1, 1): "8", (1, 2): "1", (2, 0): "4"}
    assert figure.axes[0].images[0].get_array()[0].tolist() == pytest.approx([30 / 34, 0, 4 / 34])  # type: ignore[index]


def test_the_classes_most_confused_are_found() -> None:
    table = np.zeros((6, 6))
    table[np.arange(5), np.arange(5)] = 50
    table[1, 3], table[5, 4], table[0, 5] = 3, 2, 1
    assert quality.most_confused(table, most=3).tolist() == [1, 3, 4]
    assert quality.most_confused(table).tolist() == [0, 1, 2, 3, 4]


def test_a_reliability_diagram_shows_shares_and_errors() -> None:
    true = arrays.truth(np.arange(100), np.zeros(100), np.tile([0, 0, 10, 10], (100, 1)))
    found = np.arange(0, 100, 2)
    said = arrays.predictions(np.arange(100), np.zeros(100), np.where(np.isin(np.arange(100), found)[:, None],
                             [0, 0, 10, 10], [50, 50, 60, 60]), np.full(100, 0.9))  # fmt: skip
    told = calibration(match(true, said, images=100, categories=1), bins=10)
    figure = plots.reliability(told)
    draw(figure)
    assert "D-ECE 0.400" in words(figure)
    line = figure.axes[0].lines[1]
    assert [float(line.get_xdata()[0]), float(line.get_ydata()[0])] == pytest.approx([0.9, 0.5])


def test_estimate_and_labels_stand_in_one_figure() -> None:
    days = [pd.Timestamp(FIRST + timedelta(days=k)) for k in range(4)]
    row = {"source": "cam-1", "metric": "ap", "expected": 0.7, "n": 40}
    rows = [{**row, "feature": "estimate", "value": 0.6, "low": 0.5, "high": 0.7, "window_start": day} for day in days]
    rows += [{**row, "feature": "performance", "value": 0.55, "low": 0.4, "high": 0.7, "window_start": days[0]}]
    table = pd.DataFrame(rows).assign(window_end=lambda one: one["window_start"] + timedelta(days=1))
    said = words(plots.believed(table))
    assert "estimate, 90 % band" in said
    assert "AP estimated without labels" in said
    assert "estimate, 90 % band" not in words(plots.believed(table[table["feature"] == "performance"]))


def test_the_parts_that_decide_come_first_and_no_verdict_is_told_by_colour_alone() -> None:
    verdicts = [("all", "", "held"), ("old", "", "held"), ("new", "", "gained"), ("old", "size", "shown"),
                ("old", "class", "worse"), ("new", "class", "not enough")]  # fmt: skip
    parts = pd.DataFrame(
        [
            {"part": part, "by": by, "value": by and "x", "metric": "f1", "protected": by == "class" and part == "old",
             "images": 100, "difference": 0.1 * place, "low": 0.1 * place - 0.05, "high": np.nan, "limit": -0.02,
             "verdict": verdict}
            for place, (part, by, verdict) in enumerate(verdicts)
        ]
    )  # fmt: skip
    figure = plots.gate_parts(parts)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()][::-1]
    assert names[:4] == ["all images (100)", "old images (100)", "new images (100)", "old, class x (100)"]
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"held", "gained", "worse", "too few images to tell", "not protected, not surely worse"} <= set(told)


def test_training_curves_show_what_there_is() -> None:
    curves = pd.DataFrame({"epoch": [1, 2], "train/box_loss": [1.0, 0.5], "metrics/mAP50(B)": [0.2, 0.6]})
    above, below = plots.training_curves(curves).axes
    assert [list(line.get_ydata()) for line in above.lines] == [[1.0, 0.5]]
    assert [list(line.get_ydata()) for line in below.lines] == [[0.2, 0.6]]
