"""Images: all properties, content hash and perceptual hash of a JPEG, against merely decoding it, and against peers."""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from benchmarks import Figure, at_least, interleaved, not_measured, observed, rate_ratio
from cvkit.data import images

SHARED = Path(__file__).parents[2] / "shared" / "data"
MOST = 48  # files of one data set
TARGET = 0.7  # of the rate of cv2's grey decoding
PEER_TARGET = 1.0  # as fast as a peer that computes fewer or other properties


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        made = generate(Path(folder))
        size = statistics.mean(path.stat().st_size for path in made) / 1000
        yield from _against_decoding("generated", f"generated 640x480, {size:.0f} kB", made)
        for name in ("coco128", "bccd"):
            target = f">= {TARGET:g}"
            if files := sorted((SHARED / name).rglob("*.jpg"))[:MOST]:
                yield from _against_decoding(name, name, files)
            else:
                yield not_measured(f"images.rate_{name}", "of the rate", target, f"cv2 grey decode of {name}")
        yield from _against_peers(made)


def generate(folder: Path, count: int = 24, seed: int = 0) -> list[Path]:
    """Photograph-like JPEGs of 640x480, 4:2:0, quality 85: 1/f texture under coloured shapes, a little noise."""
    random = np.random.default_rng(seed)
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    for path in paths:
        path.write_bytes(simplejpeg.encode_jpeg(_scene(random), quality=85, colorsubsampling="420"))
    return paths


def _scene(random: np.random.Generator, width: int = 640, height: int = 480) -> np.ndarray[Any, Any]:
    grey = _pink(random, height, width)
    tint = np.stack([_pink(random, height, width) for _ in range(3)], axis=2)
    scene = 120 + 38 * grey[:, :, np.newaxis] + 12 * tint
    for _ in range(12):
        colour = random.uniform(0, 255, 3)
        centre = tuple(int(v) for v in random.uniform((0, 0), (width, height)))
        axes = tuple(int(v) for v in random.uniform(8, 90, 2))
        mask = cv2.ellipse(np.zeros((height, width), np.uint8), centre, axes, random.uniform(0, 180), 0, 360, 1, -1)
        scene[mask == 1] = 0.5 * scene[mask == 1] + 0.5 * colour
    scene += random.normal(0, 2, scene.shape)
    return scene.clip(0, 255).astype(np.uint8)


def _pink(random: np.random.Generator, height: int, width: int) -> np.ndarray[Any, Any]:
    """Noise whose amplitude falls with frequency ** -1.4, as in smooth photographs; mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf
    pink = np.fft.irfft2(np.fft.rfft2(random.normal(size=(height, width))) / frequency**1.4, (height, width))
    return (pink - pink.mean()) / pink.std()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _against_decoding(name: str, words: str, files: list[Path]) -> Iterator[Figure]:
    paths = [str(path) for path in files]
    seconds = interleaved(
        {
            "measure": lambda: _each(images.measure, paths),
            "decode": lambda: _each(lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE), paths),
        }
    )
    against = f"cv2.imread grey, {words}, one thread"
    yield at_least(f"images.rate_{name}", rate_ratio(seconds, "measure", "decode"), "of the rate", TARGET, against)
    for work, theirs in (("measure", "all properties"), ("decode", "cv2.imread grey")):
        milliseconds = 1000 * statistics.median(seconds[work]) / len(paths)
        yield observed(f"images.{work}_{name}", milliseconds, "ms CPU an image", f"{theirs}, {words}")


def _against_peers(files: list[Path]) -> Iterator[Figure]:
    paths = [str(path) for path in files]
    for name, make in (("cleanvision", _cleanvision), ("deepchecks", _deepchecks)):
        try:
            peer = make(paths)
        except ImportError:
            yield not_measured(f"images.rate_against_{name}", "times", f">= {PEER_TARGET:g}", name)
            continue
        seconds = interleaved({"measure": lambda: _each(images.measure, paths), name: peer}, rounds=5)
        ratio = rate_ratio(seconds, "measure", name)
        yield at_least(f"images.rate_against_{name}", ratio, "times", PEER_TARGET, f"{name}, generated 640x480")


def _cleanvision(paths: list[str]) -> Callable[[], object]:
    """All default issues: eight scores and two kinds of duplicates, in one process."""
    from cleanvision import Imagelab

    def work() -> object:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return Imagelab(filepaths=paths).find_issues(n_jobs=1, verbose=False)

    return work


def _deepchecks(paths: list[str]) -> Callable[[], object]:
    """The seven default properties (no sharpness, noise or hash) from 10,000 sampled pixels, decoding included."""
    from deepchecks.vision.utils.image_properties import calc_default_image_properties

    return lambda: _each(lambda path: calc_default_image_properties([cv2.imread(path)[:, :, ::-1]]), paths)


def _each(work: Callable[[str], object], paths: list[str]) -> None:
    # A result is dropped before the next is made: keeping many pictures would cost memory's first touch.
    for path in paths:
        work(path)
