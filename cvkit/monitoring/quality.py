"""Data quality: what is wrong with single images, by limits learnt from the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvkit.tables import FINDINGS, Window, conform, empty

if TYPE_CHECKING:
    from cvkit.data.records import Records

# Which way a property has to leave the reference's range for which finding.
RANGE_FINDINGS = {
    "too_dark": ("brightness", "low"),
    "too_bright": ("brightness", "high"),
    "blurred": ("sharpness", "low"),
    "low_information": ("entropy", "low"),
    "noisy": ("noise", "high"),
}
RANGED = tuple(dict.fromkeys(name for name, _ in RANGE_FINDINGS.values()))  # in one order: they are written to a file
# Findings that only a reference can tell: without one they are unknown, never absent.
LEARNT_FINDINGS = (*RANGE_FINDINGS, "wrong_mode", "wrong_size", "near_duplicate", "frozen", "gap", "strange")
READ: dict[str, Any] = {  # columns that the limits of a source are held against
    **dict.fromkeys(("damage", "named", "file_format", "mode", "content"), str), **dict.fromkeys(RANGED, float),
    "width": float, "height": float, "dhash": np.uint64,
}  # fmt: skip
SUFFIX_FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What is normal for the images of one source, as its reference shows it."""

    ranges: dict[str, tuple[float, float]]  # property -> lowest and highest value that is not a finding
    modes: tuple[str, ...]
    sizes: tuple[tuple[float, float], ...]  # empty where the reference's sizes vary freely
    near_bits: int  # fewer differing bits of the perceptual hash than this: the same picture; 0 where that is normal
    longest_run: int  # most frames in a row without change
    longest_pause_s: float  # seconds; NaN where the reference has no times


def learn(features: pd.DataFrame, *, fence: float = 3.0, margin: float = 0.5, fixed_sizes: int = 3) -> Limits:
    """Limits from the reference images of one source (table FEATURES).

    A property's range is Tukey's outer fences, quartile +- `fence` x the interquartile range, but reaches at most
    `margin` x the interquartile range beyond the most extreme reference image: the fences of a varied sample lie
    where no image can be. Sizes count as fixed where the reference has at most `fixed_sizes` of them.
    Source: Tukey, Exploratory Data Analysis, 1977 (fences).
    """
    good = features[features["damage"] == ""]
    ordered = features.sort_values(["time", "image_id"])
    shown = ordered[ordered["content"] != ""]
    hashes = shown["dhash"].to_numpy(dtype=np.uint64)
    sized = good.dropna(subset=["width", "height"])
    sizes = sorted({(float(w), float(h)) for w, h in zip(sized["width"], sized["height"], strict=True)})
    return Limits(
        ranges={name: _fences(good[name].to_numpy(), fence, margin) for name in RANGED},
        modes=tuple(sorted(set(good["mode"]) - {""})),
        sizes=tuple(sizes) if len(sizes) <= fixed_sizes else (),
        near_bits=_near_bits(shown),
        longest_run=int(_run_lengths(_unchanged(shown["content"].to_numpy(str), hashes, near_bits=0)).max(initial=1)),
        longest_pause_s=_longest_pause(features["time"]),
    )


def find(
    records: Records,
    features: pd.DataFrame,
    limits: dict[str, Limits],
    window: Window | None,
    *,
    predicts: bool = True,
) -> pd.DataFrame:
    """Everything wrong with the images of a window: what reading the records found, and what the pixels show.

    `limits` is by source, with "" for sources of which the reference knows nothing by name. Without `window`
    (the reference itself) pauses are not looked at; without `predicts` no prediction is missed. Table FINDINGS, at
    most one row per image and finding from pixels.
    """
    parts = [
        records.findings,
        *_damaged(features),
        *_lost(records, features),
        *(_unpredicted(records, features) if predicts else ()),
    ]
    # Names, sorting and columns of all at once: source by source it takes long.
    arranged = features.assign(named=_named_formats(features["image_id"])).sort_values(["source", "time", "image_id"])
    columns = {name: arranged[name].to_numpy(dtype) for name, dtype in READ.items()}
    for source, places in arranged.groupby("source", sort=True).indices.items():
        if (known := limits.get(str(source), limits.get(""))) is None:
            continue
        frames = Frames(arranged, columns, int(places[0]), int(places[-1]) + 1)
        parts += [*_out_of_range(frames, known), *_unexpected_kind(frames, known), *_repeated(frames, known)]
        if window is not None:
            parts += _gaps(arranged.iloc[frames.start : frames.end], known, window)
    rows = [part for part in parts if len(part)]
    return pd.concat(rows, ignore_index=True) if rows else empty(FINDINGS)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """One source's images, in order of time: rows `start` to `end` of a table, whose columns are at hand as arrays."""

    table: pd.DataFrame
    columns: dict[str, NDArray[Any]]
    start: int
    end: int

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name][self.start : self.end]


def _damaged(features: pd.DataFrame) -> Iterator[pd.DataFrame]:
    bad = features["damage"] != ""
    yield from _findings(features, bad, features.loc[bad, "damage"], detail=features.loc[bad, "damage_detail"])


def _lost(records: Records, features: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Images that could be measured, but ended each process that decoded them for the model."""
    lost = features["image_id"].isin(list(records.lost)) & features["damage"].isin(["", "truncated"])
    yield from _findings(features, lost, "unreadable", detail=features.loc[lost, "image_id"].map(dict(records.lost)))


def _unpredicted(records: Records, features: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Images that a model could have looked at, and did not."""
    no_images = {*features.loc[~features["damage"].isin(["", "truncated"]), "image_id"], *records.lost}
    images = records.images
    yield from _findings(images, ~images["predicted"] & ~images["image_id"].isin(no_images), "missing_prediction")


def _named_formats(ids: pd.Series) -> pd.Series:
    """The file format that each image's name promises, "" where it promises none."""
    return pd.Series([SUFFIX_FORMATS.get(PurePosixPath(one).suffix.lower(), "") for one in ids], index=ids.index)


def _out_of_range(frames: Frames, limits: Limits) -> Iterator[pd.DataFrame]:
    for finding, (name, side) in RANGE_FINDINGS.items():
        low, high = limits.ranges[name]
        values, limit = frames[name], low if side == "low" else high
        bad = np.flatnonzero(values < limit if side == "low" else values > limit)
        words = f"{name} {'below' if side == 'low' else 'above'} the reference's range"
        yield from _of(frames, bad, finding, value=values[bad], limit=limit, detail=words)


def _unexpected_kind(frames: Frames, limits: Limits) -> Iterator[pd.DataFrame]:
    read = np.isin(frames["damage"], ["", "truncated"])
    named, form, mode = (frames[name] for name in ("named", "file_format", "mode"))
    misnamed = np.flatnonzero(read & (named != "") & (named != form) & (form != ""))
    yield from _of(frames, misnamed, "wrong_format", detail=[f"the content is {one}" for one in form[misnamed]])
    # Of a frame that came without a file nothing says its mode.
    odd = np.flatnonzero(read & ~np.isin(mode, [*limits.modes, ""]))
    expected = ", ".join(limits.modes)
    yield from _of(frames, odd, "wrong_mode", detail=[f"{one}, expected {expected}" for one in mode[odd]])
    if not limits.sizes:
        return
    sizes = np.column_stack([frames["width"], frames["height"]])
    fits = (sizes[:, None] == np.array(limits.sizes)).all(axis=2).any(axis=1)
    wrong = np.flatnonzero(read & ~fits & ~np.isnan(sizes[:, 0]))
    expected = ", ".join(f"{w:.0f}x{h:.0f}" for w, h in limits.sizes)
    words = [f"{w:.0f}x{h:.0f} pixels, expected {expected}" for w, h in sizes[wrong]]
    yield from _of(frames, wrong, "wrong_size", detail=words)


def _repeated(frames: Frames, limits: Limits) -> Iterator[pd.DataFrame]:
    """Exact and near duplicates of earlier images, and runs of unchanging frames."""
    readable = np.flatnonzero(frames["content"] != "")
    content, hashes = frames["content"][readable], frames["dhash"][readable]
    again = pd.Series(content).duplicated().to_numpy()
    yield from _of(frames, readable[again], "exact_duplicate")
    fresh = np.flatnonzero(~again & (frames["damage"][readable] == ""))
    near = fresh[_has_earlier_twin(hashes[fresh], limits.near_bits)]
    yield from _of(frames, readable[near], "near_duplicate", limit=limits.near_bits)
    runs = _run_lengths(_unchanged(content, hashes, limits.near_bits))
    allowed = 2 * limits.longest_run + 1  # twice as still as the reference ever was
    frozen, words = runs > allowed, "frames in a row without change"
    yield from _of(frames, readable[frozen], "frozen", value=runs[frozen], limit=allowed, detail=words)


def _gaps(ordered: pd.DataFrame, limits: Limits, window: Window, slack: float = 1.5) -> Iterator[pd.DataFrame]:
    """Pauses `slack` times longer than the reference's longest, the window's edges included."""
    if not len(ordered) or np.isnan(limits.longest_pause_s):
        return
    times = [pd.Timestamp(window.start), *ordered["time"].dropna(), pd.Timestamp(window.end)]
    pauses = np.diff(np.array([moment.timestamp() for moment in times]))
    limit = slack * limits.longest_pause_s
    rows = [
        {"source": ordered["source"].iloc[0], "time": times[i], "finding": "gap", "value": pauses[i], "limit": limit,
         "detail": f"no image for {pauses[i] / 3600:.1f} hours; the reference's longest pause is "
                   f"{limits.longest_pause_s / 3600:.1f} hours"}
        for i in np.flatnonzero(pauses > limit)
    ]  # fmt: skip
    if rows:
        yield conform(pd.DataFrame(rows), FINDINGS)


def _findings(images: pd.DataFrame, which: Any, finding: Any, **columns: Any) -> Iterator[pd.DataFrame]:
    """A table of findings on `which` (a mask, or places) of the images; nothing where it is none."""
    places = np.flatnonzero(which) if np.asarray(which).dtype == bool else which
    if len(places):
        rows = images.iloc[places][["image_id", "source", "time"]]
        yield conform(rows.assign(finding=finding, **columns), FINDINGS)


def _of(frames: Frames, places: NDArray[np.intp], finding: str, **columns: Any) -> Iterator[pd.DataFrame]:
    """The same of some of a source's images."""
    return _findings(frames.table, frames.start + places, finding, **columns)


def _fences(values: NDArray[np.float64], fence: float, margin: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("-inf"), float("inf")
    first, third = np.quantile(finite, [0.25, 0.75])
    spread = third - first
    low = max(first - fence * spread, finite.min() - margin * spread)
    high = min(third + fence * spread, finite.max() + margin * spread)
    return float(low), float(high)


def _unchanged(content: NDArray[np.str_], hashes: NDArray[np.uint64], near_bits: int) -> NDArray[np.bool_]:
    """Whether each frame shows the same as the one before it."""
    same = np.zeros(content.size, bool)
    if content.size > 1:
        close = np.bitwise_count(hashes[1:] ^ hashes[:-1]) < near_bits
        same[1:] = ((content[1:] == content[:-1]) & (content[1:] != "")) | close
    return same


def _run_lengths(unchanged: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each frame, how many frames the still stretch it belongs to has."""
    if not unchanged.size:
        return np.zeros(0, np.int64)
    stretch = np.cumsum(~unchanged)
    return np.bincount(stretch)[stretch]


def _near_bits(ordered: pd.DataFrame, most: int = 4, sample: int = 1000) -> int:
    """How many bits any two of `sample` reference images differ by, `most` at most.

    A fixed camera's frames may be near copies by nature: then this is 0 and nothing is a near duplicate.
    """
    good = ordered.loc[ordered["damage"] == "", "dhash"].to_numpy(dtype=np.uint64)[:sample]
    nearest = most
    for position in range(1, good.size):
        nearest = min(nearest, int(np.bitwise_count(good[:position] ^ good[position]).min()))
    return nearest if good.size > 1 else 0


def _has_earlier_twin(hashes: NDArray[np.uint64], near_bits: int) -> NDArray[np.bool_]:
    """Whether an earlier hash differs by fewer than `near_bits` (at most 4) bits.

    Two hashes that differ in at most three bits share one of their four 16-bit words, so only those are compared.
    """
    twin = np.zeros(hashes.size, bool)
    if near_bits < 1:
        return twin
    for word in range(4):
        key = (hashes >> np.uint64(16 * word)) & np.uint64(0xFFFF)
        for members in _groups(key):
            for position in range(1, members.size):
                if not twin[members[position]]:
                    differ = np.bitwise_count(hashes[members[:position]] ^ hashes[members[position]])
                    twin[members[position]] = bool((differ < near_bits).any())
    return twin


def _groups(key: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order])) + 1
    return (members for members in np.split(order, edges) if members.size > 1)


def _longest_pause(times: pd.Series) -> float:
    """The longest pause in seconds within the reference's stretches; days it skips altogether are not pauses."""
    pauses = times.dropna().sort_values().diff().dt.total_seconds()
    within = pauses[pauses < 36 * 3600]
    return float(within.max()) if len(within) else float("nan")
