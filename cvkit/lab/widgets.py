"""What ipywidgets lacks: a picture with places to choose, and a gallery whose pictures come as they are scrolled to."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from cvkit.data.headers import BROKEN, words
from cvkit.documentation.plots.tiles import small_picture
from cvkit.lab.places import Place
from cvkit.tables import SIGNS

HERE = Path(__file__).parent
SMALL, LARGE = 240, 1200  # pixels of a picture's longer side, in the gallery and enlarged
MOST_TILES = 60
NO_PIXELS = "its pixels were not kept"
FULL_BAR = 5.0  # reference standard deviations: beyond, a bar tells no more than its number
MOST_BOXES = 200  # drawn on one image
DPI = 110  # of figures: sharp at a width of 660 pixels, and a third fewer bytes than a report's


class Picture(anywidget.AnyWidget):
    """A figure as a picture. Of its `places`, one can be chosen; with `brush`, a stretch of its width can be marked."""

    _esm = HERE / "picture.js"
    _css = HERE / "lab.css"
    png = traitlets.Bytes().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)  # what the picture shows, for those who cannot see it
    places: Any = traitlets.List().tag(sync=True)  # {x, y, w, h, name}: shares of width and height, from the upper left
    chosen = traitlets.Int(-1).tag(sync=True)  # a place's number; -1: none
    brush = traitlets.Bool(False).tag(sync=True)
    stretch: Any = traitlets.List().tag(sync=True)  # [from, to], shares of the width; []: none
    brushed = traitlets.Int(0).tag(sync=True)  # rises when a stretch is let go of

    def show(self, figure: Figure, words: str, places: Callable[[], Sequence[Place]] = tuple, chosen: int = -1) -> None:
        """Show a figure; `words` say what is in it. `places` are asked for once it is laid out."""
        with self.hold_sync():
            self.png, self.words, self.places, self.chosen = png(figure), words, list(places()), chosen


class Bars(anywidget.AnyWidget):
    """Names with a bar and a verdict each, of which one can be chosen."""

    _esm = HERE / "bars.js"
    _css = HERE / "lab.css"
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)  # what the rows are, for those who cannot see them
    chosen = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # a row's key; None: none

    def show(self, frame: pd.DataFrame, words: str, chosen: str | None = None) -> None:
        """Show `name`, `size` (from 0; NaN without a bar), `words` for it, `state` of STATES, `more` on hovering.

        `key` is what `chosen` names a row by.
        """
        shares = (frame["size"].astype(float) / FULL_BAR).clip(0, 1).fillna(0.0)
        texts = {name: frame[name].astype(str).tolist() for name in ("key", "name", "words", "state", "more")}
        signs = [SIGNS[state] for state in texts["state"]]
        columns = {**texts, "share": shares.tolist(), "sign": signs}
        with self.hold_sync():
            self.rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            self.words, self.chosen = words, chosen


def png(figure: Figure) -> bytes:
    """A figure as PNG. It is laid out once, for `places` too: matplotlib's own `savefig` does so twice."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    target = io.BytesIO()
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(pixels[..., :3]).save(target, "PNG", compress_level=3)
    return target.getvalue()


class Gallery(anywidget.AnyWidget):
    """Images with boxes. Their pictures are read when they come into view; `picked` are the ids of those picked.

    What is picked stays so when other images are shown. `turned` rises and falls where the keys walk off the last or
    first image: whoever has more to show may follow it.
    """

    _esm = HERE / "gallery.js"
    _css = HERE / "lab.css"
    tiles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    round = traitlets.Int(0).tag(sync=True)  # rises with other tiles: so that late pictures do not land on them
    picked: traitlets.List[Any] = traitlets.List().tag(sync=True)
    pickable = traitlets.Bool(True).tag(sync=True)
    turned = traitlets.Int(0).tag(sync=True)
    said = traitlets.Bool(True).tag(sync=True)  # whether the model's boxes are drawn
    truth = traitlets.Bool(True).tag(sync=True)  # whether the labels are

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._paths: list[str] = []
        self.on_msg(self._asked)

    def show(self, shown: pd.DataFrame) -> None:
        """Show images: `image_id`, `path`, `caption`, and `said` and `truth`, lists of (x1, y1, x2, y2, name).

        `width` and `height` are pixels, NaN where they are not known.
        """
        rows = shown.head(MOST_TILES).to_dict("records")
        with self.hold_sync():
            self._paths = [str(row["path"]) for row in rows]
            self.tiles = [_tile(row) for row in rows]
            self.round += 1

    def _asked(self, _: Any, content: dict[str, Any], buffers: Any) -> None:
        kind, of_round = content.get("kind"), content.get("round")
        for place in content.get("places", ()):
            if of_round != self.round or not 0 <= place < len(self._paths):
                return
            answer = {"kind": kind, "round": of_round, "place": place}
            if not self._paths[place]:
                self.send({**answer, "broken": NO_PIXELS})
                continue
            try:
                data = jpeg(self._paths[place], LARGE if kind == "large" else SMALL)
            except BROKEN as error:
                self.send({**answer, "broken": words(error)})
            else:
                self.send(answer, [data])


def _tile(row: dict[Any, Any]) -> dict[str, Any]:
    size = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("width", "height")}
    boxes = {name: [list(box) for box in row[name][:MOST_BOXES]] for name in ("said", "truth")}
    return {"key": str(row["image_id"]), "caption": str(row["caption"]), **size, **boxes}


@functools.lru_cache(maxsize=1000)
def _jpeg(path: str, side: int, modified_ns: int) -> bytes:
    picture, _, _ = small_picture(path, side)
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).convert("RGB").save(target, "JPEG", quality=85)
    return target.getvalue()


def jpeg(path: str, side: int) -> bytes:
    """A file's picture at about `side` pixels, upright, as JPEG; kept until the file changes.

    Raises one of `headers.BROKEN` where nothing of it can be decoded, FileNotFoundError among them.
    """
    return _jpeg(path, side, Path(path).stat().st_mtime_ns)
