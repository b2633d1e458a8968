"""A workspace with a champion that is a bit blind, and a challenger that sees: the demo's own checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pandas as pd

from cvkit import demo_world
from cvkit.config import Config, load_config
from cvkit.data import sources, yolo
from cvkit.demo import CHECKPOINT
from cvkit.demo_world import Condition
from cvkit.maintenance import gate_results, versions
from cvkit.maintenance.gate_results import FLIPPED, PARTS, Result
from cvkit.maintenance.test_set import TestSet
from cvkit.tables import IMAGES, Window, conform, empty

CLASSES = {0: "washer", 1: "nut", 2: "bolt"}
DAY = date(2026, 9, 16)


def bare(folder: Path) -> Config:
    """A workspace whose weights are an adopted version already, for what does not look into them."""
    (folder / "cvkit.yml").write_text("model: {name: parts, weights: best.pt}\nreference: {data: data.yaml}\n")
    shutil.copyfile(made_up(load_config(folder), "first", kind="adopted").weights, folder / "best.pt")
    return load_config(folder)


def write_frames(images: Path, labels: Path, days: int, frames: int, dirt: float = 0.0) -> None:
    """Frames of two cameras on some days, with their labels."""
    for camera in demo_world.CAMERAS[:2]:
        for day in (DAY + timedelta(days=number) for number in range(days)):
            for folder in (images, labels):
                (folder / camera / day.isoformat()).mkdir(parents=True, exist_ok=True)
            for number in range(frames):
                shown = demo_world.frame(7, camera, day, number, Condition(dirt))
                name = f"{number % 24:02d}{number // 24:02d}00"
                (images / camera / day.isoformat() / f"{name}.jpg").write_bytes(demo_world.encode(shown.picture))
                (labels / camera / day.isoformat() / f"{name}.txt").write_text(demo_world.yolo_labels(shown))


def workspace(folder: Path, *, weights: Path = CHECKPOINT, days: int = 2, frames: int = 24) -> Config:
    """Settings, a reference of healthy days, and captures of days with a dirty lens."""
    (folder / "models").mkdir(parents=True)
    shutil.copyfile(weights, folder / "models" / "demo.pt")
    reference = folder / "data"
    write_frames(reference / "images" / "val", reference / "labels" / "val", days, frames)
    names = "\n".join(f"  {number}: {name}" for number, name in CLASSES.items())
    (reference / "data.yaml").write_text(f"train: images/val\nval: images/val\nnames:\n{names}\n")
    write_frames(folder / "captures", folder / "labels", days, frames, 0.35)
    (folder / "cvkit.yml").write_text(
        "model: {name: parts, weights: models/demo.pt, image_size: 160, estimate_images: 0, device: cpu}\n"
        "captures: {images: 'captures/{source}/{date}/{time}.jpg', labels: 'labels/{source}/{date}/{time}.txt'}\n"
        "reference: {data: data/data.yaml, images: '{source}/{date}/{time}.jpg'}\n"
        "rules: {minimum_images: 5}\n"
    )
    return load_config(folder)


def frozen_images(config: Config) -> TestSet:
    """The reference's images as the old part, those of production as the new one."""
    old = sources.load_reference(config)
    days = sources.capture_dates(config)
    window = Window.between(days[0].isoformat(), (days[-1] + timedelta(days=1)).isoformat())
    new = sources.load_captures(config, window)
    images = pd.concat([old.images.assign(part="old"), new.images.assign(part="new")], ignore_index=True)
    images = conform(images[list(IMAGES)], IMAGES).assign(part=images["part"])
    images["content"] = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in images["path"]]
    labels = pd.concat([old.labels, new.labels], ignore_index=True)
    return TestSet("t0", images, labels, dict(CLASSES))


@cache
def _blurred_state(strength: float, seed: int) -> dict[str, object]:
    import torch

    yolo.prepare_environment(Path(tempfile.gettempdir()) / "cvkit-test-ultralytics")
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint = torch_safe_load(str(CHECKPOINT), safe_only=True)[0]
    random = torch.Generator().manual_seed(seed)
    model = checkpoint["model"]
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=random).to(parameter.dtype)
            parameter += strength * noise * parameter.float().std(correction=0).to(parameter.dtype)
    return checkpoint


def noisy(file: Path, strength: float, seed: int = 0) -> Path:
    """The demo's checkpoint with noise on its weights: `strength` in parts of each tensor's spread."""
    import torch

    torch.save(_blurred_state(strength, seed), file)
    return file


def added(config: Config, weights: Path, parent: str = "") -> versions.Version:
    return versions.add(
        config, weights, kind="incremental", parent=parent, data="d0", arguments={"epochs": 1},
        environment={"torch": "x"}, files={},
    )  # fmt: skip


def made_up(config: Config, name: str, **more: object) -> versions.Version:
    """A version whose weights are no checkpoint, for what does not look into them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("weights"), name)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:12]
    folder = config.workspace / "versions" / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.pt").write_bytes(content.getvalue())
    facts = {"name": digest, "kind": "incremental", "parent": "", "made": "2026-11-01T00:00:00+00:00", "data": "",
             "arguments": {}, "environment": {}, "classes": CLASSES, **more}  # fmt: skip
    (folder / "version.json").write_text(json.dumps(facts))
    return versions.load(config, digest)


def judged(version: versions.Version, champion_name: str, outcome: str = "passed", test: str = "t0") -> None:
    """A gate's result, made up."""
    config = load_config(version.folder.parents[1])
    result = Result(
        outcome, ("because",), empty(PARTS), empty(FLIPPED), (1.0, 1.0), 1.0, (1, 1), (), champion_name, version.name,
        test, gate_results.key_of(config, champion_name, version.name, test), datetime(2026, 11, 1, tzinfo=UTC),
    )  # fmt: skip
    gate_results.write(version.folder, result)
