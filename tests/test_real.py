"""A trial on real images and a really deployed model: clean is ok, damage is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cvkit.config import Config, load_config
from cvkit.monitoring import monitor
from cvkit.monitoring.rules import lights
from cvkit.tables import Window

Picture = np.ndarray
DAMAGE: dict[str, Callable[[Picture], Picture]] = {
    "clean": lambda picture: picture,
    "dark": lambda picture: (picture * 0.35).astype(np.uint8),
    "blurred": lambda picture: cv2.GaussianBlur(picture, (0, 0), 4),
    "compressed": lambda picture: cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 4])[1], 1),
}
DAYS = dict(zip(DAMAGE, ("2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04"), strict=True))


@pytest.fixture(scope="module")
def coco(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Half of coco128 as reference, the other half as one day clean and three days damaged."""
    folder = tmp_path_factory.mktemp("coco")
    images = sorted((shared_data / "coco128").rglob("*.jpg"))
    assert len(images) == 128
    order = np.random.default_rng(0).permutation(128)
    reference = folder / "reference" / "images"
    reference.mkdir(parents=True)
    for i in order[:64]:
        (reference / images[i].name).symlink_to(images[i])
    (folder / "reference" / "data.yaml").write_text(
        f"path: {folder / 'reference'}\nval: images\n" + _names(shared_data)
    )
    for name, day in DAYS.items():
        target = folder / "captures" / "cam" / day
        target.mkdir(parents=True)
        for i in order[64:]:
            picture = DAMAGE[name](cv2.imread(str(images[i])))
            cv2.imwrite(str(target / images[i].name), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    weights = shared_data / "weights" / "yolo26n.pt"
    (folder / "cvkit.yml").write_text(
        f"model: {{weights: '{weights}', image_size: 320}}\n"
        "reference: {data: reference/data.yaml, independent: true}\n"
    )
    return load_config(folder)


def _names(shared_data: Path) -> str:
    import json

    instances = next((shared_data / "coco128").rglob("*.json"))
    names = [category["name"] for category in json.loads(instances.read_text())["categories"]]
    return "names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(names))


def bad(verdicts: pd.DataFrame) -> set[str]:
    return set(verdicts.loc[verdicts["state"].isin(["warning", "critical"]), "feature"])


def test_the_clean_half_of_coco128_raises_no_alarm(coco: Config) -> None:
    verdicts = monitor.observe(coco, Window.day(DAYS["clean"])).verdicts
    assert lights(verdicts) == {"cam": "ok"}, verdicts[verdicts["state"] != "ok"]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [("dark", {"brightness", "contrast"}), ("blurred", {"sharpness", "noise"}), ("compressed", {"sharpness", "noise"})],
)
def test_damage_to_coco128_is_found(coco: Config, damage: str, expected: set[str]) -> None:
    found = bad(monitor.observe(coco, Window.day(DAYS[damage])).verdicts)
    assert found & expected, f"found {found}"


def test_the_model_sees_fewer_objects_through_the_damage(coco: Config) -> None:
    clean, compressed = (monitor.observe(coco, Window.day(DAYS[name])).features for name in ("clean", "compressed"))
    assert compressed["boxes"].mean() < clean["boxes"].mean()


@pytest.fixture(scope="module")
def bccd(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Blood cells under one microscope: the first 240 images are eight reference days, the others four later days."""
    folder = tmp_path_factory.mktemp("bccd")
    images = sorted((shared_data / "bccd" / "BCCD" / "JPEGImages").glob("*.jpg"))
    order = np.random.default_rng(1).permutation(len(images))
    days = [f"2026-09-{d:02d}" for d in range(1, 9)] + [f"2026-10-{d:02d}" for d in range(1, 5)]
    for position, i in enumerate(order[: 30 * len(days)]):
        target = folder / "captures" / "scope" / days[position // 30]
        target.mkdir(parents=True, exist_ok=True)
        (target / images[i].name).symlink_to(images[i])
    (folder / "cvkit.yml").write_text("reference: {start: 2026-09-01, end: 2026-09-09}\n")
    return load_config(folder)


def test_a_fixed_camera_that_did_not_change_is_not_accused(bccd: Config) -> None:
    for day in range(1, 5):
        verdicts = monitor.observe(bccd, Window.day(f"2026-10-{day:02d}")).verdicts
        drift = verdicts[verdicts["rule"] == "drift"]
        assert not bad(drift), drift[drift["state"] != "ok"]


def test_a_fixed_camera_out_of_focus_is_found(bccd: Config) -> None:
    folder = bccd.workspace / "captures" / "scope"
    target = folder / "2026-10-09"
    target.mkdir()
    for path in sorted((folder / "2026-10-04").iterdir()):
        cv2.imwrite(str(target / path.name), cv2.GaussianBlur(cv2.imread(str(path)), (0, 0), 2))
    assert {"sharpness", "blurred"} & bad(monitor.observe(bccd, Window.day("2026-10-09")).verdicts)
