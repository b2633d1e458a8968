"""Boxes to and from other libraries: supervision, FiftyOne, Hugging Face datasets. Tables BOXES and IMAGES on our side.

`classes` are names by class id; a class that has none is called by its number. An image without boxes is there on the
other side too, with none. What `aside` says of labels travels along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cvkit.data.labelled import CORNERS
from cvkit.errors import DataError, need
from cvkit.tables import BOXES, conform


def to_supervision(boxes: pd.DataFrame, images: pd.DataFrame, classes: Mapping[int, str]) -> dict[str, Any]:
    """A `supervision.Detections` for each image of `images`, by image_id, in their order; of labels without confidence.

    Names stand in `data["class_name"]`, as in supervision's own. Raises ConfigError without `cvkit[supervision]`.
    """
    need("supervision", extra="supervision")
    from supervision import Detections

    found = {}
    for image_id, rows in _by_image(boxes, images):
        data = {"class_name": np.array(_names(rows, classes), dtype=str), "aside": rows["aside"].to_numpy(str)}
        said = None if len(rows) and rows["confidence"].isna().all() else rows["confidence"].to_numpy(float)
        found[image_id] = Detections(
            xyxy=rows[CORNERS].to_numpy(float), confidence=said, class_id=rows["class_id"].to_numpy(int), data=data
        )
    return found


def from_supervision(detections: Mapping[str, Any]) -> pd.DataFrame:
    """Table BOXES of `supervision.Detections` by image_id. Raises DataError where boxes have no class."""
    parts = [pd.DataFrame(columns=list(BOXES))]
    for image_id, one in detections.items():
        if len(one) and one.class_id is None:
            raise DataError("boxes without a class", where=image_id, expected="class_id of each", found="none")
        corners = pd.DataFrame(np.asarray(one.xyxy, dtype=float), columns=CORNERS)
        aside = one.data.get("aside", [""] * len(one))
        said = np.nan if one.confidence is None else np.asarray(one.confidence, dtype=float)
        parts += [corners.assign(image_id=image_id, class_id=one.class_id, confidence=said, aside=aside)] * bool(
            len(one)
        )
    return _table(parts)


def to_datasets(boxes: pd.DataFrame, images: pd.DataFrame, classes: Mapping[int, str]) -> Any:
    """A `datasets.Dataset`, a row per image: image_id, source, image, width, height and `objects`, as for training.

    `objects` holds lists: bbox (x, y, width, height in pixels, as COCO's), category (`ClassLabel`), confidence, aside.
    Pictures are named, not read; None where there is no file. Raises ConfigError without `cvkit[datasets]`.
    """
    need("datasets", extra="datasets")
    from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value

    most = max([*classes, *boxes["class_id"], -1])
    number, word = Value("float64"), Value("string")
    objects = {"bbox": Sequence(Sequence(number, length=4)), "confidence": Sequence(number), "aside": Sequence(word),
               "category": Sequence(ClassLabel(names=[_name(one, classes) for one in range(most + 1)]))}  # fmt: skip
    about = {"image_id": word, "source": word, "image": Image(), "width": number, "height": number}
    rows = [
        {"bbox": _spans(part).tolist(), "confidence": part["confidence"].tolist(), "aside": part["aside"].tolist(),
         "category": part["class_id"].tolist()}
        for _, part in _by_image(boxes, images)
    ]  # fmt: skip
    columns = {name: images[name].tolist() for name in ("image_id", "source", "width", "height")}
    pictures = [path or None for path in images["path"]]
    return Dataset.from_dict(
        {**columns, "image": pictures, "objects": rows}, features=Features({**about, "objects": objects})
    )


def from_datasets(dataset: Any) -> pd.DataFrame:
    """Table BOXES of a `datasets.Dataset` as `to_datasets` makes it: image_id and `objects`, with bbox and category.

    Corners may differ in the last digit from those that went in, as COCO's boxes are told by width and height; not
    where they are of single precision. Raises DataError where the columns are others.
    """
    lacking = sorted({"image_id", "objects"} - set(dataset.column_names))
    if lacking:
        raise DataError(
            "no data set of boxes", where="columns", expected="image_id, objects",
            found=", ".join(dataset.column_names), remedy="rename the columns: dataset.rename_column(old, new)",
        )  # fmt: skip
    parts = [pd.DataFrame(columns=list(BOXES))]
    for row in dataset.select_columns(["image_id", "objects"]):
        told = row["objects"]
        if told["bbox"]:
            here = {name: told[name] for name in ("confidence", "aside") if name in told}
            corners = _corners(np.asarray(told["bbox"], dtype=float))
            parts.append(corners.assign(image_id=row["image_id"], class_id=told["category"], **here))
    return _table(parts)


def to_fiftyone(
    boxes: pd.DataFrame, images: pd.DataFrame, classes: Mapping[int, str], field: str = "predictions"
) -> list[Any]:
    """A `fiftyone.Sample` for each image of `images` that has a file and a size, with `fiftyone.Detections` in `field`.

    Add them to a data set of yours: `fiftyone.Dataset("mine").add_samples(samples)`. image_id, source, and of each box
    class_id and aside, are fields of your own there. Raises ConfigError without FiftyOne.
    """
    need("fiftyone", extra="fiftyone")
    import fiftyone

    samples = []
    known = images[(images["path"] != "") & (images["width"] > 0) & (images["height"] > 0)]
    about = known[["path", "source", "width", "height"]].to_dict("records")
    for (image_id, rows), image in zip(_by_image(boxes, known), about, strict=True):
        spans = _spans(rows) / ([image["width"], image["height"]] * 2)
        found = [
            fiftyone.Detection(
                label=name, bounding_box=span, confidence=None if said != said else said, class_id=number, aside=aside
            )
            for name, span, said, number, aside in zip(
                _names(rows, classes), spans.tolist(), rows["confidence"].tolist(), rows["class_id"].tolist(),
                rows["aside"].tolist(), strict=True,
            )
        ]  # fmt: skip
        size = fiftyone.ImageMetadata(width=int(image["width"]), height=int(image["height"]))
        sample = fiftyone.Sample(filepath=image["path"], metadata=size, image_id=image_id, source=image["source"])
        sample[field] = fiftyone.Detections(detections=found)
        samples.append(sample)
    return samples


def from_fiftyone(samples: Iterable[Any], classes: Mapping[int, str], field: str = "predictions") -> pd.DataFrame:
    """Table BOXES of FiftyOne's samples: a data set, a view or a list. Boxes are told to a billionth of the image.

    An image is named by its own `image_id`, else by its file; a class by its `class_id`, else by its label's name in
    `classes`. Raises DataError where a sample has no size, or a label no class.
    """
    numbers = {name: number for number, name in classes.items()}
    parts = [pd.DataFrame(columns=list(BOXES))]
    for sample in samples:
        known = sample[field].detections if sample[field] is not None else []
        if not known:
            continue
        if sample.metadata is None or not sample.metadata.width:
            raise DataError(
                "an image without its size", where=sample.filepath, expected="metadata with width and height",
                found="none", remedy="dataset.compute_metadata()",
            )  # fmt: skip
        size = [sample.metadata.width, sample.metadata.height] * 2
        corners = _corners(np.array([one.bounding_box for one in known], dtype=float) * size)
        parts.append(
            corners.assign(
                image_id=_given(sample, "image_id", sample.filepath),
                class_id=[_number(one, numbers, sample.filepath) for one in known],
                confidence=[np.nan if one.confidence is None else one.confidence for one in known],
                aside=[_given(one, "aside", "") for one in known],
            )
        )
    return _table(parts)


def _by_image(boxes: pd.DataFrame, images: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The boxes of each image, in the order of `images`; none is a table without rows."""
    parts = dict(list(boxes.groupby("image_id", sort=False)))
    for image_id in images["image_id"]:
        yield str(image_id), parts.get(image_id, boxes.iloc[:0])


def _names(boxes: pd.DataFrame, classes: Mapping[int, str]) -> list[str]:
    return [_name(number, classes) for number in boxes["class_id"].tolist()]


def _name(number: int, classes: Mapping[int, str]) -> str:
    return classes.get(number, str(number))


def _spans(boxes: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Left, top, width and height (n, 4)."""
    first, last = boxes[CORNERS[:2]].to_numpy(float), boxes[CORNERS[2:]].to_numpy(float)
    return np.hstack([first, last - first])


def _corners(spans: np.ndarray[Any, np.dtype[np.float64]]) -> pd.DataFrame:
    return pd.DataFrame(np.hstack([spans[:, :2], spans[:, :2] + spans[:, 2:]]), columns=CORNERS)


def _given(thing: Any, name: str, otherwise: str) -> str:
    """A field that not every sample or box has."""
    value = thing[name] if name in thing.field_names else None
    return otherwise if value is None else str(value)


def _number(box: Any, numbers: Mapping[str, int], where: str) -> int:
    own = _given(box, "class_id", "")
    if own or box.label in numbers:
        return int(own) if own else numbers[box.label]
    raise DataError("a label that is no class", where=where, expected=", ".join(numbers), found=str(box.label))


def _table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return conform(pd.concat(parts[1:] or parts, ignore_index=True), BOXES)
