"""Image tables: one row per image file, before and after its header is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.data.headers import Header, header
from cvkit.data.records import Records
from cvkit.data.sources.patterns import Found
from cvkit.data.sources.said import Classes, Problem, Said, checked, findings_table, raw_boxes
from cvkit.tables import BOXES, IMAGES, conform

UNREAD = ("bad_record", "bad_box")  # findings about a label that leave its image without whole labels


def image_table(found: Iterable[Found], ids: Iterable[str]) -> pd.DataFrame:
    """IMAGES without times and sizes, and what the paths say as `date` and `clock`; `ids` name the images."""
    rows = [
        (image_id, file.path, file.source, file.bytes, file.modified_ns, file.date, file.time)
        for file, image_id in zip(found, ids, strict=True)
    ]
    columns = ["image_id", "path", "source", "bytes", "modified_ns", "date", "clock"]
    return pd.DataFrame.from_records(rows, columns=columns).astype(
        {name: "str" if name not in ("bytes", "modified_ns") else "int64" for name in columns}
    )


def image_id(path: str, root: Path) -> str:
    """The name of an image: its path below `root` with `/`, or all of its path where it lies elsewhere."""
    start = f"{root}{os.sep}"
    return (path[len(start) :] if path.startswith(start) else path).replace(os.sep, "/")


def headers(paths: Sequence[str], config: Config, fewest: int = 64) -> list[Header]:
    """The headers of image files. Threads hide the wait of a slow disk; below `fewest` files they cost more."""
    if len(paths) < fewest:
        return [header(path) for path in paths]
    with ThreadPoolExecutor(config.workers or os.cpu_count() or 1) as pool:
        # Chunks, because handing over one file at a time costs more than reading its header.
        chunks = [paths[start : start + fewest] for start in range(0, len(paths), fewest)]
        return [one for chunk in pool.map(lambda chunk: [header(path) for path in chunk], chunks) for one in chunk]


def assemble(
    config: Config,
    images: pd.DataFrame,
    predictions: tuple[Said, Classes],
    labels: tuple[Said, Classes],
    problems: list[Problem],
    classes: dict[int, str],
) -> Records:
    """Records of `images` (columns of IMAGES without sizes) and of what was said about them.

    Sizes are read from the files' headers, and only for images with boxes: nothing else here needs them.
    """
    raw = {id(said): raw_boxes(said) for said, _ in (predictions, labels)}
    boxed = set().union(*(frame["image_id"] for frame in raw.values()))
    sizes = _sizes(images, boxed, config)
    problems = [*problems]
    tables, covered = [], []
    for (said, known), scored in ((predictions, True), (labels, False)):
        boxes, wrong, lost = checked(said, raw[id(said)], sizes, known, scored)
        tables.append(boxes)
        # An image of whose labels a part cannot be read is not known: what is missing would be held against the model.
        unread = set() if scored else {row["image_id"] for row in (*said.problems, *wrong) if row["finding"] in UNREAD}
        covered.append(images["image_id"].isin(said.covered.keys() - lost - said.doubted - unread))
        problems += [*said.problems, *wrong]
    sized = images.assign(
        width=sizes["width"].to_numpy(), height=sizes["height"].to_numpy(), predicted=covered[0], labelled=covered[1],
        label_time=pd.to_datetime(images["image_id"].map(labels[0].modified_ns).astype("Int64"), unit="ns", utc=True),
    )  # fmt: skip
    table = conform(sized[[name for name in IMAGES if name in sized]], IMAGES)
    table = table.sort_values(["source", "time", "image_id"], ignore_index=True)
    predicted, labelled = (in_order(boxes, table) for boxes in tables)
    return Records(table, predicted, labelled, findings_table(problems, table), classes)


def _sizes(images: pd.DataFrame, wanted: set[str], config: Config) -> pd.DataFrame:
    """Width and height by image_id, in the order of `images`; NaN where nobody asks or the file does not tell."""
    sizes = pd.DataFrame(
        {name: images.get(name, float("nan")) for name in ("width", "height")}, index=images.index, dtype=float
    )
    ask = images["image_id"].isin(wanted) & sizes["width"].isna()
    read = headers(images.loc[ask, "path"].tolist(), config)
    sizes.loc[ask, "width"] = [one.width for one in read]
    sizes.loc[ask, "height"] = [one.height for one in read]
    return sizes.set_index(pd.Index(images["image_id"]))


def in_order(boxes: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """`boxes` in the order of `images`; those of one image stay as their file has them."""
    rank = pd.Series(range(len(images)), index=images["image_id"])
    order = boxes["image_id"].map(rank).sort_values(kind="stable").index
    return conform(boxes.loc[order], BOXES)
