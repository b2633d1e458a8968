"""Images: what a file is, whether it is whole, and seven numbers about its pixels.

A picture is decoded once, at full resolution, and looked at in two samples that cost far less than all its pixels:

- the **grid**, every s-th pixel of every s-th row, s odd and the largest with at least `GRID_PIXELS` points. Single
  pixels and not means of areas, as means would lower contrast, saturation and entropy; odd, so that the points fall on
  every place of JPEG's blocks of 8 pixels. Brightness, contrast, saturation, colourfulness, entropy and the
  perceptual hash come from it.
- the **strips**, `STRIPS` bands of `STRIP_ROWS` full rows, spread evenly from top to bottom. Sharpness and noise need
  neighbouring pixels at full resolution, and a dirty lens or a lost focus may be anywhere in the picture.

The samples belong to the properties' definition: another sample is another feature, to be measured anew on the
reference.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import os
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from cvkit.data.headers import (
    BROKEN,
    FORMATS,
    Frame,
    Header,
    format_of,
    header,
    jpeg_frame,
    load_exif,
    open_regular,
    quiet,
    turned,
    upright_size,
    words,
)  # fmt: skip

__all__ = ["Header", "ImageFacts", "header", "measure"]

PIXEL_LIMIT = 100_000_000  # of one picture; larger ones are not decoded. 300 MB as JPEG, 400 MB in other formats
GRID_PIXELS = 4096  # then brightness is within 0.3 % of that of all pixels on photographs, entropy within 0.4 %
STRIPS = 11  # prime, so that the strips begin on every row of JPEG's blocks
STRIP_ROWS = 4  # the inner two have all their neighbours
NOISE_RUN = 64  # pixels: enough for a steady mean, few enough that many lie between a picture's edges

_SECOND_DIFFERENCE = np.array([1, -2, 1], np.float32)

_Numbers = tuple[float, float, float, float, float, float, float]  # the seven properties, in the order of `ImageFacts`
_NOTHING: _Numbers = (math.nan,) * 7


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of one image file; see `measure`. Properties are NaN where nothing could be decoded."""

    content: str = ""
    dhash: int = 0
    mode: str = ""
    file_format: str = ""
    damage: str = ""
    damage_detail: str = ""
    width: float = math.nan
    height: float = math.nan
    brightness: float = math.nan
    contrast: float = math.nan
    saturation: float = math.nan
    colourfulness: float = math.nan
    entropy: float = math.nan
    sharpness: float = math.nan
    noise: float = math.nan


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where grid and strips lie in a picture of one size."""

    stride: int
    across: int  # grid points
    down: int
    rows: int  # of one strip
    tops: tuple[int, ...]  # first row of each strip
    strip_rows: NDArray[np.intp]  # all rows of all strips


@dataclass(frozen=True, slots=True)
class _Samples:
    """Grid and strips of one picture, uint8, (rows, columns) for grey and (rows, columns, 3) for RGB."""

    grid: NDArray[np.uint8]
    strips: NDArray[np.uint8]  # one below the other
    rows: int  # of one strip


def measure(path: str | os.PathLike[str]) -> ImageFacts:
    """Content hash, perceptual hash, damage and the seven properties of an image file.

    - `content`: the first 128 bits of the file's SHA-256 in hexadecimal, "" where it could not be read. Most
      processors have instructions for SHA-256: it takes 0.6 of the time of BLAKE2b and can be checked with `sha256sum`.
    - `dhash`: 64 bits, bit set where a cell of the picture, area-averaged to 9 x 8, is brighter than its left
      neighbour; the first row's first pair is the highest bit. Source: Krawetz, "Kind of Like That", 2013.
    - `width`, `height`: pixels after EXIF rotation. The properties are those of the pixels as stored.
    - `brightness`, `contrast`: mean and standard deviation of grey, Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601),
      0-255 and 0-127.5.
    - `saturation`: mean of HSV's S = (max - min) / max, 0 for black; 0-1.
    - `colourfulness`: sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), rg = R - G, yb = (R + G) / 2 - B;
      0 for grey, about 15 slightly, 109 extremely colourful. Source: Hasler & Suesstrunk, "Measuring colourfulness
      in natural images", 2003, M3.
    - `entropy`: Shannon entropy of the histogram of grey over 256 levels, bits, 0-8.
    - `sharpness`: log10(1 + variance of the Laplacian (4 neighbours) of grey); 0 for a constant picture, rises with
      sharpness and with noise. Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000.
    - `noise`: standard deviation of noise in grey levels, the median over runs of `NOISE_RUN` pixels of
      sqrt(pi / 2) / 6 x mean(|grey * N|), N = [1 -2 1; -2 4 -2; 1 -2 1], which is blind to shading and straight edges;
      0 to 53. The median, as texture raises the mean but not that of the smooth half of the picture. Source: Immerkaer,
      "Fast noise variance estimation", 1996 (the mean over all pixels).

    Transparency is ignored, as detectors ignore it; of an animation the first frame counts; 16-bit grey is divided by
    256. Grey pictures have saturation and colourfulness 0; sharpness and noise are NaN below 3 x 3 pixels.

    Never raises on what a file contains or on a file that is not there. `damage` is "" or
    "empty_file"; "unreadable" (no image, missing, no permission, over `PIXEL_LIMIT` or `BYTE_LIMIT`), reason in
    `damage_detail`; "truncated" (part of the picture is lost): properties are those of what a JPEG decoder makes of it,
    lost parts grey, and NaN in other formats. A JPEG with stray bytes that cost no pixels has no damage but a detail.

    Thread-safe; decoding leaves Python's lock.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except (OSError, ValueError) as error:
        return ImageFacts(damage="unreadable", damage_detail=words(error))
    if not data:
        return ImageFacts(damage="empty_file", damage_detail="the file has no bytes")
    content = hashlib.sha256(data).hexdigest()[:32]
    frame = jpeg_frame(data)
    try:
        if frame and frame.mode != "CMYK":
            return _measure_jpeg(data, frame, content)
        return _measure_other(data, content)
    except BROKEN as error:
        return ImageFacts(content, damage="unreadable", damage_detail=words(error))


def _measure_jpeg(data: bytes, frame: Frame, content: str) -> ImageFacts:
    width, height = frame.width, frame.height
    if frame.exif and turned(load_exif(frame.exif)):
        width, height = height, width
    if width * height > PIXEL_LIMIT:
        pixels, damage, detail = None, "unreadable", _too_many(width, height)
    else:
        pixels, damage, detail = _decode_jpeg(data, "GRAY" if frame.mode == "L" else "RGB")
    dhash, numbers = 0, _NOTHING
    if pixels is not None:
        dhash, numbers = _properties(_sample_array(pixels, _layout(frame.width, frame.height)))
    return ImageFacts(content, dhash, frame.mode, "JPEG", damage, detail, float(width), float(height), *numbers)


def _decode_jpeg(data: bytes, colours: str) -> tuple[NDArray[np.uint8] | None, str, str]:
    """Pixels (rows, columns, channels), damage and its detail."""
    # Fast upsampling touches colour only; the fast cosine transform would darken by half a grey level.
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colours, fastupsample=True, strict=True)
    except ValueError as error:
        detail = str(error)
    else:
        return pixels, "", ""
    try:
        pixels = simplejpeg.decode_jpeg(data, colours, fastupsample=True, strict=False)
    except ValueError as error:
        return None, "unreadable", str(error)
    return pixels, "" if "extraneous bytes" in detail else "truncated", detail


def _measure_other(data: bytes, content: str) -> ImageFacts:
    with quiet(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = upright_size(image)
        mode, file_format, dhash, numbers, damage, detail = image.mode, format_of(image), 0, _NOTHING, "", ""
        try:
            if width * height > PIXEL_LIMIT:
                raise ValueError(_too_many(*image.size))
            image.load()
            dhash, numbers = _properties(_sample_pillow(image, _layout(*image.size)))
        except BROKEN as error:
            detail = words(error)
            damage = "truncated" if "truncated" in detail.lower() else "unreadable"
    return ImageFacts(content, dhash, mode, file_format, damage, detail, width, height, *numbers)


@functools.lru_cache(maxsize=256)
def _layout(width: int, height: int) -> _Layout:
    stride = max(1, math.isqrt(width * height // GRID_PIXELS))
    stride = min(stride - (stride % 2 == 0), width, height)
    rows, tops = height, np.zeros(1, np.intp)
    if height > STRIPS * STRIP_ROWS:
        rows, tops = STRIP_ROWS, ((np.arange(STRIPS) + 0.5) * height / STRIPS - STRIP_ROWS / 2).astype(np.intp)
    strip_rows = (tops[:, np.newaxis] + np.arange(rows)).ravel()
    return _Layout(stride, width // stride, height // stride, rows, tuple(tops.tolist()), strip_rows)


def _sample_array(pixels: NDArray[np.uint8], layout: _Layout) -> _Samples:
    covered = pixels[: layout.down * layout.stride, : layout.across * layout.stride]
    grid = cv2.resize(covered, (layout.across, layout.down), interpolation=cv2.INTER_NEAREST_EXACT)
    strips = np.take(pixels, layout.strip_rows, axis=0)
    return _Samples(grid, strips.reshape(strips.shape[:2]) if strips.shape[2] == 1 else strips, layout.rows)


def _sample_pillow(image: Image.Image, layout: _Layout) -> _Samples:
    covered = (0, 0, layout.across * layout.stride, layout.down * layout.stride)
    grid = image.resize((layout.across, layout.down), Image.Resampling.NEAREST, box=covered)
    strips = [image.crop((0, top, image.width, top + layout.rows)) for top in layout.tops]
    return _Samples(_to_array(grid), np.concatenate([_to_array(strip) for strip in strips]), layout.rows)


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    pixels: NDArray[Any]
    if image.mode in {"1", "L", "LA", "La"}:
        pixels = np.asarray(image.convert("L"))
    elif image.mode.startswith("I"):  # 16 bit, some in a container of 32
        pixels = np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8
    elif image.mode == "F":
        pixels = np.nan_to_num(np.asarray(image)).clip(0, 255)
    else:
        pixels = np.asarray(image.convert("RGB"))
    return pixels.astype(np.uint8)


def _properties(samples: _Samples) -> tuple[int, _Numbers]:
    """Perceptual hash and the seven properties."""
    grid, strips = samples.grid, samples.strips
    if grid.ndim == 2:
        colour, grey = (0.0, 0.0), grid
    else:
        colour, grey = _colour_statistics(grid), cv2.cvtColor(grid, cv2.COLOR_RGB2GRAY)
        strips = cv2.cvtColor(strips, cv2.COLOR_RGB2GRAY)
    brightness, contrast, entropy = _grey_statistics(grey)
    return _dhash(grey), (brightness, contrast, *colour, entropy, *_detail_statistics(strips, samples.rows))


def _grey_statistics(grey: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Mean, standard deviation and entropy."""
    mean, deviation = cv2.meanStdDev(grey)
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    bits = float(np.dot(counts, np.log2(np.maximum(counts, 1))))
    return float(mean[0, 0]), float(deviation[0, 0]), max(math.log2(grey.size) - bits / grey.size, 0.0)


def _colour_statistics(rgb: NDArray[np.uint8]) -> tuple[float, float]:
    planes = cv2.split(rgb)
    value = cv2.max(cv2.max(planes[0], planes[1]), planes[2])
    chroma = cv2.subtract(value, cv2.min(cv2.min(planes[0], planes[1]), planes[2]))
    saturation = cv2.mean(cv2.divide(chroma, value, scale=255))[0] / 255  # cv2 divides whole numbers by 0 to 0
    red, green, blue = (plane.astype(np.int16) for plane in planes)
    mean_rg, variance_rg = _moments(red - green)
    mean_yb, variance_yb = _moments(red + green - blue - blue)  # twice yb, a whole number
    spread = math.sqrt(variance_rg + variance_yb / 4)
    return saturation, spread + 0.3 * math.hypot(mean_rg, mean_yb / 2)


def _detail_statistics(grey: NDArray[np.uint8], rows: int) -> tuple[float, float]:
    """Sharpness and noise of strips of `rows` rows that lie one below the other.

    Filters run over the whole stack; the first and last row of each strip, whose neighbours are another strip's,
    are left out. Left and right edges are mirrored.
    """
    width = grey.shape[1]
    if rows < 3 or width < 3:
        return math.nan, math.nan
    laplacian = cv2.Laplacian(grey, cv2.CV_16S).reshape(-1, rows * width)[:, width:-width]
    high_pass = cv2.sepFilter2D(grey, cv2.CV_16S, _SECOND_DIFFERENCE, _SECOND_DIFFERENCE)
    size = cv2.convertScaleAbs(high_pass.reshape(-1, rows * width)[:, width:-width])
    _, variance = _moments(laplacian)
    return math.log10(1 + variance), math.sqrt(math.pi / 2) / 6 * _median_of_runs(size)


def _median_of_runs(size: NDArray[np.uint8]) -> float:
    """Median over runs of `NOISE_RUN` pixels of a row of their means; of the whole rows where they are shorter."""
    run = min(NOISE_RUN, size.shape[1])
    runs = size[:, : size.shape[1] // run * run].reshape(-1, run)
    sums = cv2.reduce(runs, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    sums.sort()
    return float(sums[(sums.size - 1) // 2] + sums[sums.size // 2]) / (2 * run)


def _moments(values: NDArray[np.int16]) -> tuple[float, float]:
    """Mean and variance; the sums are whole numbers, so that a constant has exactly no variance."""
    n, total, squares = values.size, int(cv2.sumElems(values)[0]), round(cv2.norm(values, cv2.NORM_L2SQR))
    return total / n, (n * squares - total * total) / (n * n)


def _dhash(grey: NDArray[np.uint8]) -> int:
    down, across = grey.shape
    if down >= 8 and across >= 9:  # whole cells, of which cv2 is quick to take the mean
        grey = grey[: down // 8 * 8, : across // 9 * 9]
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def _too_many(width: int, height: int) -> str:
    return f"{width} x {height} pixels are more than the {PIXEL_LIMIT:,} cvkit decodes"
