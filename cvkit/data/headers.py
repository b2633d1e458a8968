"""Headers: what an image file says about its picture before a pixel is decoded."""

from __future__ import annotations

import errno
import math
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

open_image = Image.open  # bound now: Ultralytics' own wants to install a package for files it cannot identify

BYTE_LIMIT = 2**29  # of one file; larger ones are not read
NOT_GIVEN = "the store did not give it"  # how the words of errors begin that may be over at the next try
_FAULTS = ("EIO", "ETIMEDOUT", "ESTALE", "ENOTCONN", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EPIPE", "ENETDOWN",
           "ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO", "EAGAIN", "EBUSY",
           "EACCES", "EPERM")  # fmt: skip
STORE_FAULTS = frozenset(getattr(errno, name) for name in _FAULTS if hasattr(errno, name))
HEADER_BYTES = 2**16  # nearly all JPEGs say their size in these

# What is asked of Pillow. Its other readers guess without a signature, or start programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000")  # JPEG covers MPO

# Pillow's readers trust the file: broken bytes surface as whatever the parser stumbled over.
BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, ImportError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

# Not waiting for a pipe's other end; bytes as they are on Windows.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..SOF15 without DHT, JPG and DAC


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about its picture without being decoded; see `header`."""

    width: float  # pixels, after EXIF rotation; NaN where the file does not tell
    height: float
    mode: str
    file_format: str
    exif_time: datetime | None  # without a zone, as the camera's clock showed it
    exif_offset: timedelta | None  # of that clock from UTC, where the camera wrote it
    damage: str
    damage_detail: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What the segments of a JPEG before its pixels say."""

    width: int
    height: int
    mode: str
    exif: bytes


def header(path: str | os.PathLike[str]) -> Header:
    """Size, mode, format and EXIF time of an image file, without decoding its pixels (about 25 us for a JPEG).

    EXIF orientations 5 to 8 swap width and height. Never raises on what a file contains: one that cannot be
    identified has `damage` "unreadable" or "empty_file", the reason in `damage_detail`, and NaN for its size.
    A header that can be read says nothing about the pixels behind it: that takes `measure`.
    """
    try:
        with os.fdopen(open_file(path)[0], "rb") as file:
            start = file.read(HEADER_BYTES)
            if not start:
                return Header(math.nan, math.nan, "", "", None, None, "empty_file", "the file has no bytes")
            if frame := jpeg_frame(start):
                exif = load_exif(frame.exif)
                width, height = (frame.height, frame.width) if turned(exif) else (frame.width, frame.height)
                return Header(float(width), float(height), frame.mode, "JPEG", *_exif_time(exif), "", "")
            file.seek(0)
            with quiet(), open_image(file, formats=FORMATS) as image:
                time = _exif_time(_exif_of(image))
                return Header(*upright_size(image), image.mode, format_of(image), *time, "", "")
    except BROKEN as error:
        return Header(math.nan, math.nan, "", "", None, None, "unreadable", words(error))


def jpeg_frame(data: bytes) -> Frame | None:
    """Size, mode and EXIF of a JPEG of 8 bits; None for anything else, or where `data` ends before its pixels begin.

    Source: ITU-T T.81, annex B.
    """
    if data[:3] != b"\xff\xd8\xff":
        return None
    position, shape, exif = 2, None, b""
    while data[position : position + 1] == b"\xff" and position + 4 <= len(data):
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        body, position = position + 4, position + 2 + (data[position + 2] << 8 | data[position + 3])
        if marker == 0xDA:
            break
        if marker in _FRAME_MARKERS and position <= len(data) and position - body >= 6:
            shape = struct.unpack_from(">BHHB", data, body)
        elif marker == 0xE1 and data[body : body + 6] == b"Exif\0\0":
            exif = exif or data[body:position]
    else:
        return None
    if shape is None or shape[0] != 8 or not shape[1] or not shape[2] or shape[3] not in _MODES:
        return None
    return Frame(shape[2], shape[1], _MODES[shape[3]], exif)


_MODES = {1: "L", 3: "RGB", 4: "CMYK"}  # by a JPEG's number of components, as Pillow names them


def load_exif(segment: bytes) -> Image.Exif | None:
    """EXIF data, or None where there is none or it is broken: a picture needs none."""
    if not segment:
        return None
    exif = Image.Exif()
    try:
        with quiet():
            exif.load(segment)
    except BROKEN:
        return None
    return exif


def _exif_of(image: Image.Image) -> Image.Exif | None:
    try:
        return image.getexif()
    except BROKEN:
        return None


def turned(exif: Image.Exif | None) -> bool:
    """Whether the picture is to be shown with its width and height swapped."""
    return exif is not None and exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)


def upright_size(image: Image.Image) -> tuple[float, float]:
    """Width and height after EXIF rotation; Pillow has already turned a TIFF."""
    width, height = map(float, image.size)
    return (height, width) if image.format != "TIFF" and turned(_exif_of(image)) else (width, height)


def _exif_time(exif: Image.Exif | None) -> tuple[datetime | None, timedelta | None]:
    """When the picture was taken, and the clock's offset from UTC; None for what is missing or no time."""
    if exif is None:
        return None, None
    tags = ExifTags.Base
    try:
        with quiet():
            taken = exif.get_ifd(ExifTags.IFD.Exif)
    except BROKEN:
        taken = {}
    original = tags.DateTimeOriginal in taken
    text = _text(taken.get(tags.DateTimeOriginal) or exif.get(tags.DateTime))
    fraction = _text(taken.get(tags.SubsecTimeOriginal if original else tags.SubsecTime))
    zone = _text(taken.get(tags.OffsetTimeOriginal if original else tags.OffsetTime))
    moment = _parsed(text, "%Y:%m:%d %H:%M:%S")
    if moment and fraction.isdecimal():
        moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    clock = _parsed(zone, "%z")
    return moment, clock.utcoffset() if moment and clock else None


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _text(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def open_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Descriptor and size of a regular file; OSError for one that is not, as a pipe or a device may never end."""
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > BYTE_LIMIT:
            limit = f"{status.st_size:,} bytes are more than the {BYTE_LIMIT:,} cvkit reads of one file"
            raise OSError(errno.EFBIG, limit, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def read_file(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a regular file. Raises OSError, and ValueError for a path with a NUL in it.

    Fewer bytes than the file is told to have are a fault of the store, as a time-out is, and not the file's: the words
    of these errors begin with `NOT_GIVEN`.
    """
    try:
        descriptor, size = open_file(path)
        try:
            parts = [os.read(descriptor, size)]
            while (came := sum(map(len, parts))) < size and parts[-1]:
                parts.append(os.read(descriptor, size - came))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in STORE_FAULTS:
            raise OSError(error.errno, f"{NOT_GIVEN}: {error.strerror}", str(path)) from error
        raise
    if came < size:
        raise OSError(errno.EIO, f"{NOT_GIVEN}: only {came:,} of {size:,} bytes came", str(path))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def words(error: BaseException) -> str:
    """What went wrong, without the file's name or an address in memory: records carry the name already."""
    if isinstance(error, UnidentifiedImageError | ImportError):  # ImportError: from Ultralytics' Image.open
        return "not an image of a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


_quiet_lock = threading.Lock()
_quiet_threads: list[int] = []
_quiet_filters = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings while any thread is inside: what Pillow warns of, a damaged file, is told in the result.

    `warnings.catch_warnings` alone is not safe among threads: the last to leave may restore what another had set.
    """
    with _quiet_lock:
        if not _quiet_threads:
            _quiet_filters.enter_context(warnings.catch_warnings(action="ignore"))
        _quiet_threads.append(threading.get_ident())
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_threads.pop()
            if not _quiet_threads:
                _quiet_filters.close()


def format_of(image: Image.Image) -> str:
    """What the file is: JPEG, PNG, ..."""
    # MPO is a JPEG with more pictures behind the first, as telephones write it.
    return "JPEG" if image.format == "MPO" else str(image.format)
