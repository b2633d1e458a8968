"""YOLO's text files: a line per box, `class cx cy w h`, in shares of the image's width and height."""

from __future__ import annotations

import math

from cvkit.data.headers import read_file
from cvkit.data.sources.said import Said

LABEL_COLUMNS = 5
PREDICTION_COLUMNS = (6, 7)  # with confidence, and with the track's number behind it, as Ultralytics writes them
FEWEST_POLYGON_COLUMNS = 7  # the class and three corners
SHARE_SLACK = 1e-3  # how far writing with few decimals may push a share out of 0..1


def read_yolo_file(said: Said, image_id: str, path: str, shown: str, scored: bool) -> None:
    """Put the boxes that the file `path` has for an image into `said`; `shown` is how findings name the file.

    A line of a label file with an odd number of columns from 7 is a polygon, and becomes the box around it.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said.report("bad_record", image_id, f"{shown}: cannot be read: {error}")
        return
    if not said.cover(image_id, shown, scored):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if columns := line.split():
            _read_line(said, image_id, f"{shown}:{number}", columns, scored, (shown, number))


def _read_line(said: Said, image_id: str, where: str, columns: list[str], scored: bool, place: tuple[str, int]) -> None:
    polygon = not scored and len(columns) >= FEWEST_POLYGON_COLUMNS and len(columns) % 2 == 1
    fitting = PREDICTION_COLUMNS if scored else (LABEL_COLUMNS,)
    # Predictions without a confidence get as far as the check of confidences, which says what is missing.
    if not polygon and len(columns) not in fitting and not (scored and len(columns) == LABEL_COLUMNS):
        expected = "class cx cy w h confidence" if scored else "class cx cy w h, or class and a polygon"
        said.report("bad_record", image_id, f"{where}: {len(columns)} columns; expected {expected}")
        return
    try:
        numbers = [float(text) for text in columns[1:]]
    except ValueError:
        said.report("bad_record", image_id, f"{where}: not a number in {' '.join(columns)!r}")
        return
    shares = numbers if polygon else numbers[:4]
    if not all(-SHARE_SLACK <= share <= 1 + SHARE_SLACK for share in shares):  # NaN is not
        detail = f"{where}: {' '.join(columns[1:5])}; expected shares of the image from 0 to 1"
        said.report("bad_box", image_id, detail)
        return
    confidence = numbers[4] if scored and len(numbers) > 4 else math.nan
    said.rows.append((image_id, class_token(columns[0]), confidence, *_corners(shares, polygon), *place, ""))


def class_token(text: str) -> int | str:
    """A class as an id where it is a whole number (`3`, `3.0`), else as it is written."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if math.isfinite(number) and number.is_integer() else text


def _corners(shares: list[float], polygon: bool) -> tuple[float, float, float, float]:
    if polygon:
        return min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])
    across, down, width, height = shares
    return across - width / 2, down - height / 2, across + width / 2, down + height / 2
