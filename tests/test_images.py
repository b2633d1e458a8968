"""Pixels to numbers: known answers, laws, agreement with all pixels, and every kind of broken file."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from cvkit.data import headers, images
from cvkit.tables import FEATURES, PROPERTIES


@pytest.fixture
def write(tmp_path):
    """Write pixels as an image file; PNG, so that nothing is lost, where no suffix is given."""

    def write(pixels, name="image.png", **options) -> Path:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, np.uint8))
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def scene() -> np.ndarray:
    return make_scene(0)


def make_scene(seed: int, width: int = 320, height: int = 240) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 200, (6, 8, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    for _ in range(20):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        picture[y : y + 25, x : x + 30] = random.integers(0, 255, 3)
    return (picture + random.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8)


def properties(path) -> dict[str, float]:
    facts = images.measure(path)
    assert facts.damage == "", facts
    return {name: getattr(facts, name) for name in PROPERTIES}


def of_all_pixels(rgb: np.ndarray) -> dict[str, float]:
    """The published formulas on every pixel, in floating point."""
    red, green, blue = rgb.astype(float).transpose(2, 0, 1)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    largest, smallest = rgb.max(axis=2).astype(float), rgb.min(axis=2)
    rg, yb = red - green, (red + green) / 2 - blue
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float)
    response = np.abs(cv2.filter2D(grey, cv2.CV_64F, mask))
    runs = response[:, : grey.shape[1] // 64 * 64].reshape(-1, 64).mean(axis=1)
    return {
        "brightness": grey.mean(),
        "contrast": grey.std(),
        "saturation": np.divide(largest - smallest, largest, out=np.zeros_like(largest), where=largest > 0).mean(),
        "colourfulness": np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()),
        "entropy": -(shares * np.log2(shares)).sum(),
        "sharpness": np.log10(1 + cv2.Laplacian(grey, cv2.CV_64F).var()),
        "noise": math.sqrt(math.pi / 2) / 6 * np.median(runs) if runs.size else math.nan,
    }


# Known answers


@pytest.mark.parametrize("level", [0, 37, 128, 255])
def test_constant_image(write, level):
    found = properties(write(np.full((240, 320), level)))
    assert found == pytest.approx({**dict.fromkeys(PROPERTIES, 0.0), "brightness": level}, abs=1e-9)


def test_pure_colours(write):
    picture = np.zeros((90, 120, 3))
    picture[:, :, 0] = 255
    found = properties(write(picture))
    assert found["saturation"] == 1
    assert found["brightness"] == pytest.approx(0.299 * 255, abs=0.5)
    assert found["colourfulness"] == pytest.approx(0.3 * math.hypot(255, 127.5), rel=0.01)


def test_two_colours_have_the_published_colourfulness(write):
    picture = np.zeros((300, 400, 3))
    picture[:, ::2], picture[:, 1::2] = (200, 40, 90), (30, 160, 220)
    expected = of_all_pixels(picture.astype(np.uint8))
    assert properties(write(picture))["colourfulness"] == pytest.approx(expected["colourfulness"], rel=0.01)


def test_two_levels(write):
    picture = np.full((480, 640), 50)
    picture[:, 320:] = 150
    found = properties(write(picture))
    assert found["brightness"] == pytest.approx(100, abs=1)
    assert found["contrast"] == pytest.approx(50, abs=0.1)
    assert found["entropy"] == pytest.approx(1, abs=0.001)
    assert found["noise"] == 0


def test_every_level_equally_often_has_eight_bits(write):
    picture = np.tile(np.arange(256), (128, 2))
    assert properties(write(picture))["entropy"] == pytest.approx(8, abs=0.01)


@pytest.mark.parametrize("sigma", [1, 2, 5, 15])
@pytest.mark.parametrize("shape", [(480, 640), (45, 60)])
def test_noise_is_the_known_one(write, sigma, shape):
    random = np.random.default_rng(sigma)
    shading = np.linspace(80, 170, shape[1])[np.newaxis, :]
    picture = (shading + random.normal(0, sigma, shape)).round()
    assert properties(write(picture))["noise"] == pytest.approx(sigma, rel=0.1)


def test_noise_is_found_beside_texture(write):
    random = np.random.default_rng(3)
    picture = 128 + random.normal(0, 5, (480, 640))
    picture[:, :250] += 60 * random.choice([-1, 1], (480, 250))
    assert properties(write(picture.clip(0, 255)))["noise"] == pytest.approx(5, rel=0.25)


def test_laplacian_of_white_noise_has_twenty_times_its_variance(write):
    picture = 128 + np.random.default_rng(0).normal(0, 10, (480, 640))
    assert properties(write(picture))["sharpness"] == pytest.approx(math.log10(1 + 20 * 100), abs=0.03)


# Laws


def test_blur_lowers_sharpness(write, scene):
    found = [properties(write(cv2.GaussianBlur(scene, (0, 0), s)))["sharpness"] for s in (0.3, 0.6, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 1


def test_dirt_anywhere_lowers_sharpness(write, scene):
    clean = properties(write(scene))["sharpness"]
    for part in (np.s_[:120, :160], np.s_[:120, 160:], np.s_[120:, :160], np.s_[120:, 160:]):
        dirty = scene.copy()
        dirty[part] = cv2.GaussianBlur(scene, (0, 0), 6)[part]
        assert properties(write(dirty))["sharpness"] < clean - 0.02


def test_darkening_lowers_brightness_and_contrast(write, scene):
    found = [properties(write(scene * share)) for share in (1, 0.8, 0.5, 0.1, 0)]
    for name in ("brightness", "contrast"):
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True)


def test_grey_in_three_channels_has_no_colour(write, scene):
    grey = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)
    three = properties(write(np.stack([grey] * 3, axis=2)))
    assert three["saturation"] == 0
    assert three["colourfulness"] == pytest.approx(0, abs=1e-6)
    assert three == pytest.approx(properties(write(grey)), abs=1e-6)


def test_fading_colour_lowers_saturation_and_colourfulness(write, scene):
    grey = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]
    found = [properties(write(scene * share + grey * (1 - share))) for share in (1, 0.7, 0.3, 0)]
    for name in ("saturation", "colourfulness"):
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True)


def test_jpeg_and_lossless_copy_agree(write, tmp_path, scene):
    jpeg = write(scene, "image.jpg", quality=92, subsampling=0)
    lossless = write(Image.open(jpeg), "copy.png")
    assert properties(jpeg) == pytest.approx(properties(lossless), rel=0.01, abs=0.01)


@pytest.mark.parametrize("size", [(640, 480), (641, 479), (53, 1000), (2000, 60), (7, 9), (599, 51), (1000, 52)])
def test_any_size_agrees_with_all_pixels(write, size):
    scene = make_scene(1, *size)
    found, expected = properties(write(scene)), of_all_pixels(scene)
    assert found["brightness"] == pytest.approx(expected["brightness"], rel=0.05)
    assert found["contrast"] == pytest.approx(expected["contrast"], rel=0.1)
    assert found["saturation"] == pytest.approx(expected["saturation"], rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (5, 2), (2, 300)])
def test_pictures_without_neighbours_have_no_sharpness(write, size):
    found = properties(write(np.full((*size, 3), 90)))
    assert math.isnan(found["sharpness"])
    assert math.isnan(found["noise"])
    assert found["brightness"] == 90


def test_samples_rank_as_all_pixels_do(shared_data):
    paths = sorted((shared_data / "coco128" / "images").glob("*.jpg"))
    measured = [images.measure(path) for path in paths]
    exact = [of_all_pixels(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    for name in PROPERTIES:
        ours = np.array([getattr(facts, name) for facts in measured])
        theirs = np.array([one[name] for one in exact])
        assert spearmanr(ours, theirs)[0] > 0.99, name
        assert np.median(np.abs(ours - theirs)) < 0.05 * np.median(theirs), name


# Hashes


def bits_apart(one: images.ImageFacts, other: images.ImageFacts) -> int:
    return (one.dhash ^ other.dhash).bit_count()


def test_content_is_the_start_of_sha256(write, scene):
    path = write(scene)
    assert images.measure(path).content == hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def test_dhash_survives_another_quality_and_tells_scenes_apart(write):
    scenes = [make_scene(seed) for seed in range(6)]
    good = [images.measure(write(scene, "a.jpg", quality=95)) for scene in scenes]
    poor = [images.measure(write(scene, "b.jpg", quality=40)) for scene in scenes]
    assert max(bits_apart(a, b) for a, b in zip(good, poor, strict=True)) <= 4
    assert min(bits_apart(a, b) for i, a in enumerate(good) for b in good[:i]) >= 12


def test_dhash_of_ramps(write):
    ramp = np.tile(np.linspace(0, 255, 320), (240, 1))
    assert images.measure(write(ramp)).dhash == 2**64 - 1
    assert images.measure(write(ramp[:, ::-1])).dhash == 0


def test_dhash_puts_the_first_row_highest(write):
    picture = np.zeros((480, 640))
    picture[:60] = np.linspace(0, 255, 640)
    assert images.measure(write(picture)).dhash >> 56 == 0xFF


# Kinds of files


def test_facts_are_columns_of_the_features_table():
    assert set(images.ImageFacts.__slots__) < set(FEATURES)
    assert tuple(images.ImageFacts.__slots__)[-7:] == tuple(PROPERTIES)


@pytest.mark.parametrize(
    ("mode", "name", "file_format"),
    [
        ("RGB", "a.jpg", "JPEG"), ("L", "a.jpg", "JPEG"), ("CMYK", "a.jpg", "JPEG"), ("RGB", "a.png", "PNG"),
        ("RGBA", "a.png", "PNG"), ("LA", "a.png", "PNG"), ("P", "a.png", "PNG"), ("1", "a.png", "PNG"),
        ("RGB", "a.bmp", "BMP"), ("L", "a.bmp", "BMP"), ("RGB", "a.tif", "TIFF"), ("F", "a.tif", "TIFF"),
        ("RGB", "a.webp", "WEBP"), ("P", "a.gif", "GIF"), ("RGB", "a.jp2", "JPEG2000"), ("L", "a.pgm", "PPM"),
        ("I;16", "a.tif", "TIFF"),
    ],
)  # fmt: skip
def test_modes_and_formats(write, scene, mode, name, file_format):
    image = Image.fromarray(scene)
    image = image.convert("L").convert(mode) if mode in {"F", "LA"} else image.convert("RGB")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256)
    elif image.mode != mode:
        image = image.convert(mode)
    path = write(image, name)
    facts, header = images.measure(path), images.header(path)
    assert (facts.mode, facts.file_format, facts.damage) == (mode, file_format, "")
    assert (header.mode, header.file_format, header.damage) == (mode, file_format, "")
    assert (facts.width, facts.height) == (header.width, header.height) == (320, 240)
    assert facts.brightness == pytest.approx(of_all_pixels(scene)["brightness"], rel=0.1)
    assert not any(math.isnan(getattr(facts, name)) for name in PROPERTIES)


def test_png_with_alpha_named_jpg(write, tmp_path, scene):
    path = write(Image.fromarray(scene).convert("RGBA"), "real.png").rename(tmp_path / "named.jpg")
    facts = images.measure(path)
    assert (facts.mode, facts.file_format, facts.damage) == ("RGBA", "PNG", "")
    assert properties(path) == properties(write(scene))


def test_sixteen_bit_png_is_scaled_not_clipped(tmp_path):
    levels = np.tile(np.linspace(0, 65535, 320), (240, 1)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), levels)
    facts = images.measure(tmp_path / "deep.png")
    assert facts.mode.startswith("I")
    assert facts.brightness == pytest.approx(127.5, abs=1)


def test_animation_is_its_first_frame(write, scene):
    first, second = Image.fromarray(scene), Image.fromarray(255 - scene)
    still = properties(write(first, "still.gif"))
    assert properties(write(first, "moving.gif", save_all=True, append_images=[second])) == still


def test_several_pictures_in_a_jpeg_are_a_jpeg(write, scene):
    path = write(scene, "phone.mpo", save_all=True, append_images=[Image.fromarray(scene)])
    assert images.measure(path).file_format == images.header(path).file_format == "JPEG"


def test_twenty_thousand_pixels_wide(write):
    path = write(np.tile(np.arange(250), (60, 80)), "wide.jpg")
    facts = images.measure(path)
    assert (facts.width, facts.damage) == (20_000, "")
    assert facts.brightness == pytest.approx(124.5, abs=2)


@pytest.mark.parametrize("name", ["a#b=c.jpg", "with space.jpg", "ünïcödé 図.jpg"])
def test_names(write, scene, name):
    path = write(scene, name)
    assert images.measure(str(path)).damage == images.header(path).damage == ""


# EXIF


def exif(orientation: int = 1, **times: str) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    tags = {"taken": 0x9003, "offset": 0x9011, "fraction": 0x9291}
    data.get_ifd(0x8769).update({tags[name]: text for name, text in times.items() if name in tags})
    if "changed" in times:
        data[0x0132] = times["changed"]
    return data


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_swaps_sides(write, scene, name, orientation):
    path = write(scene, name, exif=exif(orientation))
    expected = (240, 320) if orientation >= 5 else (320, 240)
    header, facts = images.header(path), images.measure(path)
    assert (header.width, header.height) == (facts.width, facts.height) == expected


def test_exif_time(write, scene):
    full = exif(taken="2026:11:21 10:20:30", offset="-03:30", fraction="25", changed="2026:11:22 00:00:00")
    for name in ("a.jpg", "a.png"):
        header = images.header(write(scene, name, exif=full))
        assert header.exif_time == datetime(2026, 11, 21, 10, 20, 30, 250_000)
        assert header.exif_offset == -timedelta(hours=3, minutes=30)
    header = images.header(write(scene, "b.jpg", exif=exif(changed="2026:11:22 01:02:03")))
    assert (header.exif_time, header.exif_offset) == (datetime(2026, 11, 22, 1, 2, 3), None)


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "yesterday", "", "2026:13:45 99:00:00"])
def test_exif_time_that_is_none(write, scene, text):
    header = images.header(write(scene, "a.jpg", exif=exif(taken=text)))
    assert (header.exif_time, header.exif_offset, header.damage) == (None, None, "")


def test_broken_exif_does_not_spoil_the_picture(write, scene, tmp_path):
    data = write(scene, "a.jpg").read_bytes()
    segment = b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff" + bytes(range(40))
    (tmp_path / "b.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:])
    assert images.header(tmp_path / "b.jpg").width == 320
    assert images.measure(tmp_path / "b.jpg").damage == ""


# Damage


def check_quiet(capfd) -> None:
    output = capfd.readouterr()
    assert output.out == output.err == ""


@pytest.mark.parametrize("missing", [2, 20, 2000])
def test_jpeg_that_ends_early(write, scene, missing, capfd):
    whole = write(scene, "a.jpg")
    expected = images.measure(whole)
    whole.write_bytes(whole.read_bytes()[:-missing])
    facts = images.measure(whole)
    assert facts.damage == "truncated"
    assert "remature end" in facts.damage_detail
    assert (facts.width, facts.mode, facts.file_format) == (320, "RGB", "JPEG")
    assert facts.brightness == pytest.approx(expected.brightness, rel=0.15)
    assert images.header(whole).damage == ""
    check_quiet(capfd)


def test_lost_part_is_not_filled_from_another_picture(write, scene):
    data = write(scene, "a.jpg").read_bytes()
    half = write(scene, "half.jpg")
    half.write_bytes(data[: len(data) // 2])
    found = []
    for level in (0, 255):
        images.measure(write(np.full((240, 320, 3), level), "other.jpg"))
        found.append(images.measure(half))
    assert found[0] == found[1]


def test_jpeg_with_lost_bytes_inside(write, scene, capfd):
    path = write(scene, "a.jpg")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 300 :])
    assert images.measure(path).damage in {"", "truncated"}
    check_quiet(capfd)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.gif", "a.jp2"])
def test_other_formats_that_end_early(write, scene, name, capfd):
    path = write(scene, name)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    facts = images.measure(path)
    assert facts.damage in {"truncated", "unreadable"}
    assert facts.damage_detail
    assert math.isnan(facts.brightness)
    check_quiet(capfd)


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (b"", "empty_file"), (b"\0", "unreadable"), (b"not an image at all", "unreadable"),
        (b"\xff\xd8\xff", "unreadable"), (b"\xff\xd8\xff\xe0\0\x10JFIF", "unreadable"), (b"\xff" * 5000, "unreadable"),
        (b"\x89PNG\r\n\x1a\n", "unreadable"), (b"BM" + b"\0" * 60, "unreadable"), (b"GIF89a", "unreadable"),
        (b"II*\0" + b"\xff" * 30, "unreadable"), (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unreadable"),
    ],
)  # fmt: skip
def test_no_image(tmp_path, content, damage, capfd):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for found in (images.measure(path), images.header(path)):
        assert found.damage == damage
        assert found.damage_detail
        assert "0x" not in found.damage_detail
        assert math.isnan(found.width)
    check_quiet(capfd)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    expected = {"absent.jpg": "No such file", "": "directory", "pipe": "not a regular file", "nul\0": "null byte"}
    for name, words in expected.items():
        for found in (images.measure(tmp_path / name), images.header(tmp_path / name)):
            assert found.damage == "unreadable"
            assert words in found.damage_detail


def test_no_permission(write, scene, monkeypatch):
    path = write(scene)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: the system's answer has to be given for it

        def deny(*_):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(headers.os, "open", deny)
    assert images.header(path).damage_detail == "Permission denied"
    assert images.measure(path).damage_detail == f"{headers.NOT_GIVEN}: Permission denied"


def png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_decompression_bombs_are_not_decoded(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_of(side, side))
    facts = images.measure(tmp_path / "bomb.png")
    assert facts.damage == "unreadable"
    assert str(side) in facts.damage_detail or "pixels" in facts.damage_detail


def test_jpeg_bomb(write, tmp_path):
    data = bytearray(write(np.zeros((16, 16, 3)), "a.jpg").read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    (tmp_path / "bomb.jpg").write_bytes(data)
    facts = images.measure(tmp_path / "bomb.jpg")
    assert (facts.damage, facts.width) == ("unreadable", 60_000)
    assert "60000 x 60000 pixels" in facts.damage_detail


def test_files_over_the_limit_are_not_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(headers.BYTE_LIMIT + 1)
    facts = images.measure(tmp_path / "huge.jpg")
    assert (facts.damage, facts.content) == ("unreadable", "")
    assert "bytes are more than" in facts.damage_detail


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp", "a.jp2"])
def test_random_damage_never_raises(write, name, capfd):
    scene = make_scene(5, 60, 70)
    path = write(scene, name, **({"exif": exif(6)} if name != "a.gif" and name[-2:] not in {"mp", "p2"} else {}))
    data, random = path.read_bytes(), np.random.default_rng(7)
    for _ in range(60):
        broken = bytearray(data)
        for place in random.integers(0, min(len(broken), random.choice([60, 600, 10**6])), random.integers(1, 12)):
            broken[place] = random.integers(0, 256)
        path.write_bytes(broken[: random.integers(1, len(broken) + 1)] if random.random() < 0.3 else broken)
        assert images.measure(path).damage in {"", "unreadable", "truncated"}
        assert images.header(path).damage in {"", "unreadable"}
    check_quiet(capfd)


# Threads


def test_threads_get_the_same_and_leave_warnings_alone(write):
    paths = [write(make_scene(n, 64 + n, 70), f"{n}.{'jpg' if n % 2 else 'png'}") for n in range(24)]
    before = warnings.filters[:]
    alone = [images.measure(path) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(images.measure, paths)) == alone
    assert warnings.filters == before


def test_input_is_not_changed(write, scene):
    path = write(scene, "a.jpg")
    before = path.read_bytes()
    assert images.measure(path) == images.measure(path)
    assert path.read_bytes() == before
