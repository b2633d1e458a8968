"""Small pictures of the images that are worth a look; broken ones are shown as what they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import simplejpeg
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image, ImageOps

from cvkit.data.headers import BROKEN, FORMATS, Frame, header, jpeg_frame, load_exif, quiet, read_file, words
from cvkit.documentation.plots import style

PHOTO_DPI = 100  # photographs take most of a report's bytes
SIDE = 240  # pixels of a thumbnail's longer side, about what three side by side show
PIXEL_LIMIT = 100_000_000  # of a picture that cannot be decoded at a smaller scale
MOST_BOXES = 50
LINE, CAPTION_LINES = 0.16, 4  # inches; lines of a caption

Picture = NDArray[np.uint8]  # (rows, columns, 3), RGB


def thumbnails(
    images: Sequence[str],
    captions: Sequence[str] = (),
    *,
    columns: int = 3,
    boxes: Sequence[ArrayLike] = (),
    names: Sequence[Sequence[str]] = (),
    truth: Sequence[ArrayLike] = (),
    most: int = 24,
    title: str = "Images worth a look",
) -> Figure:
    """The files `images` as small pictures with captions, `columns` side by side, the first `most` of them.

    `boxes`: for each image corners in its pixels, shape (n, 4), drawn as outlines, with `names` n words beside them;
    `truth`: the same of its labels, shape (m, 4), dashed. An image that cannot be decoded is
    a grey tile that says so; of a JPEG that was cut short, what is there is shown.
    """
    files = list(images)
    if not files:
        return style.no_data(title, "no image to show")
    if len(files) > most:
        title += f": {most} of {len(files)}"
    letters = int(86 / columns)
    tiles = list(zip_longest(files, captions, boxes, names, truth))[: min(most, len(files))]
    labels = [_caption(caption or "", letters) for _, caption, *_ in tiles]
    rows = -(-len(tiles) // columns)
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    heights = [0.75 * style.WIDTH / columns, lines * LINE]  # of a picture, of its caption
    figure = style.new_figure(title, rows * (sum(heights) + 0.16) + 0.3 * bool(len(truth)))
    figure.set_dpi(PHOTO_DPI)
    figure.get_layout_engine().set(h_pad=0.02, hspace=0.0)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights * rows)
    for axes in grid.ravel():
        axes.set_axis_off()
    places = zip(grid[::2].ravel(), grid[1::2].ravel(), strict=True)
    for (above, below), label, (file, _, corners, said, true) in zip(places, labels, tiles, strict=False):
        _draw_tile(above, str(file), corners, said or (), true)
        above.set_anchor("S")
        below.text(0.5, 1.0, label, ha="center", va="top", fontsize=style.FONT - 1, color=style.INK, linespacing=1.15)
    if len(truth):
        style.legend(figure, [(Line2D([], [], color=style.VERMILLION, linewidth=1.6), "what the model says"),
                              (Line2D([], [], color=style.SKY, linewidth=1.6, linestyle="--"), "label")])  # fmt: skip
    return figure


def _draw_tile(axes: Axes, file: str, corners: ArrayLike | None, names: Sequence[str], truth: ArrayLike | None) -> None:
    try:
        picture, width, height = small_picture(file)
    except BROKEN as error:
        _draw_broken(axes, words(error))
        return
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    said, true = (np.asarray(() if one is None else one, dtype=float).reshape(-1, 4) for one in (corners, truth))
    layers: list[tuple[Any, str, float, Any]] = [  # on white, for dark ground too; both are to be seen
        (said, style.PAPER, 2.4, "-"), (true, style.PAPER, 2.4, "-"), (said, style.VERMILLION, 1.4, "-"),
        (true, style.SKY, 1.0, (0, (3, 3))),
    ]  # fmt: skip
    for boxes, colour, line, dash in layers:
        for x1, y1, x2, y2 in boxes[:MOST_BOXES]:
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=line,
                                     linestyle=dash))  # fmt: skip
    for (x1, y1, *_), name in zip(said, names[:MOST_BOXES], strict=False):
        axes.text(x1, y1, style.plain(name), fontsize=style.FONT - 3, color=style.INK, va="bottom", clip_on=True,
                  bbox={"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.5})  # fmt: skip


def _draw_broken(axes: Axes, why: str) -> None:
    axes.set(xlim=(0, 4), ylim=(0, 3), aspect="equal")
    axes.add_patch(Rectangle((0, 0), 4, 3, facecolor=style.EDGE, edgecolor=style.QUIET))
    axes.text(
        2, 1.9, "cannot be read", ha="center", va="center", fontsize=style.FONT, fontweight="bold", color=style.INK
    )
    axes.text(2, 1.0, style.wrap(style.plain(style.shorten(why, 60)), 22), ha="center", va="center",
              fontsize=style.FONT - 1, color=style.QUIET)  # fmt: skip


def small_picture(file: str, side: int = SIDE) -> tuple[Picture, float, float]:
    """A picture at about `side` pixels, upright, and the full width and height it stands for.

    Raises one of `headers.BROKEN` where nothing of it can be decoded.
    """
    data = read_file(file)
    if not data:
        raise ValueError("the file has no bytes")
    facts = header(file)
    frame = jpeg_frame(data)
    with quiet():
        image = _decode_jpeg(data, frame, side) if frame and frame.mode != "CMYK" else _decode_other(data, side)
        image.thumbnail((side, side), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
    return np.asarray(upright), facts.width, facts.height


def _decode_jpeg(data: bytes, frame: Frame, side: int) -> Image.Image:
    scale = min(1.0, side / max(frame.width, frame.height))
    pixels = simplejpeg.decode_jpeg(
        data, "RGB", strict=False, min_width=int(frame.width * scale), min_height=int(frame.height * scale)
    )
    image = Image.fromarray(pixels)
    if exif := load_exif(frame.exif):
        image.getexif()[ExifTags.Base.Orientation] = exif.get(ExifTags.Base.Orientation, 1)
    return image


def _decode_other(data: bytes, side: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > PIXEL_LIMIT:
        raise ValueError(f"{image.width} x {image.height} pixels are too many to show")
    image.draft("RGB", (side, side))
    if image.mode.startswith(("I", "F")):  # 16 bit and floats: Pillow would clip them to white
        pixels = np.nan_to_num(np.asarray(image, dtype=float))
        top = 65535 if image.mode.startswith("I") else max(255.0, float(pixels.max()))
        return Image.fromarray(np.clip(pixels / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _caption(text: str, letters: int) -> str:
    lines = [line for part in text.split("\n") for line in (style.wrap(part, letters) or " ").split("\n")]
    shown = [style.plain(style.shorten(line, letters)) for line in lines[:CAPTION_LINES]]
    return "\n".join(shown)
