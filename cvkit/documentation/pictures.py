"""Pictures of notebooks, small enough to keep a thousand reports, and standing still."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import MutableMapping
from typing import Any

WORTHWHILE = 8_000  # bytes; smaller pictures are left alone
DRAWN_COLOURS = 4096  # a drawing has fewer colours than this, edges smoothed; a photo has more
PHOTO_QUALITY = 80  # JPEG's, of 95
ALMOST_WHITE = 252  # of 255: a palette's rounding must not make paper grey
CONTROL = "application/vnd.jupyter.widget-view+json"  # what a kernel and a browser bring to life
MOST_PIXELS = 30_000_000  # of a picture that is made small; a larger one is no figure, and takes seconds
PALETTE = 3  # colour type in a PNG's header: it was made small already


def keep_still(data: MutableMapping[str, Any]) -> None:
    """Leave a control out of an output's data: the picture or table beside it stands for it, else a sentence."""
    if data.pop(CONTROL, None) is not None and set(data) <= {"text/plain"}:
        data["text/plain"] = "Open this notebook in JupyterLab to use what stands here."


def make_small(data: MutableMapping[str, Any]) -> None:
    """Replace a PNG in an output's data by a smaller picture of the same size in pixels, if there is one.

    A drawing gets a palette of 256 colours, a photo becomes a JPEG. What is no PNG, or cannot be read, stays.
    """
    found = data.get("image/png")
    if not isinstance(found, str) or len(found) < WORTHWHILE:
        return
    try:
        png = base64.b64decode(found)
        kind, small = _smaller(png)
    # Of a broken PNG Pillow says SyntaxError; Ultralytics, once imported, looks for another library then.
    except (binascii.Error, OSError, ValueError, SyntaxError, ImportError):
        return
    if len(small) < len(png):
        del data["image/png"]
        data[kind] = base64.b64encode(small).decode()


def _smaller(png: bytes) -> tuple[str, bytes]:
    from PIL import Image

    if len(png) < 26 or png[25] == PALETTE:
        return "image/png", png
    if int.from_bytes(png[16:20], "big") * int.from_bytes(png[20:24], "big") > MOST_PIXELS:
        return "image/png", png
    picture: Image.Image = Image.open(io.BytesIO(png))
    if picture.mode != "RGB":
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer.getchannel("A"))
    written = io.BytesIO()
    if picture.getcolors(DRAWN_COLOURS) is None:
        picture.save(written, "JPEG", quality=PHOTO_QUALITY)
        return "image/jpeg", written.getvalue()
    drawn = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = drawn.getpalette() or []
    rows = [colours[start : start + 3] for start in range(0, len(colours), 3)]
    drawn.putpalette([part for row in rows for part in ([255] * 3 if min(row) >= ALMOST_WHITE else row)])
    drawn.save(written, "PNG")
    return "image/png", written.getvalue()
