"""Train the demo's detector, `cvkit/demo.pt`, from scratch on the generated production line.

    uv run python tools/train_demo_model.py --out cvkit/demo.pt

Trains on healthy frames of another seed than any demo uses, then prints how well it does on fresh healthy frames, and
through a dirty lens. About ten minutes on two cores. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cvkit import demo_world as world
from cvkit.data import yolo

TRAINING_SEED = 1_000_003  # the demo takes seeds from 0 on
FIRST_DAY = date(2026, 1, 1)


def write_set(folder: Path, split: str, first: date, days: int, frames_a_day: int, dirt: float = 0.0) -> None:
    """A split of an Ultralytics data set: frames of every camera on other days."""
    for camera in world.CAMERAS:
        for day in (first + timedelta(days=i) for i in range(days)):
            for number in range(frames_a_day):
                shown = world.frame(TRAINING_SEED, camera, day, number, world.Condition(dirt))
                name = f"{camera}-{day}-{number:02d}"
                _write(folder / "images" / split / f"{name}.jpg", world.encode(shown.picture))
                _write(folder / "labels" / split / f"{name}.txt", world.yolo_labels(shown).encode())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def describe(folder: Path) -> Path:
    """The set's data.yaml."""
    file = folder / "data.yaml"
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(world.CLASSES))
    file.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\ntest: images/dirty\nnames:\n{names}")
    return file


def train(folder: Path, epochs: int) -> Path:
    """Train in `folder`; the best checkpoint."""
    from ultralytics import YOLO

    model = YOLO("yolo11n.yaml")
    model.train(
        data=str(describe(folder)), epochs=epochs, imgsz=world.IMAGE_SIZE, batch=16, seed=0, deterministic=True,
        pretrained=False, plots=False, amp=False, workers=0, device="cpu", optimizer="AdamW", lr0=2e-3, cos_lr=True,
        mosaic=0.5, close_mosaic=8, degrees=0.0, fliplr=0.5, flipud=0.5, project=str(folder / "runs"), name="demo",
    )  # fmt: skip
    return folder / "runs" / "demo" / "weights" / "best.pt"


def publish(checkpoint: Path, out: Path) -> None:
    """Write the checkpoint without the paths, dates and repository state of the machine it was trained on."""
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    content: dict[str, Any] = torch_safe_load(str(checkpoint), safe_only=True)[0]
    neutral = {"data": "data.yaml", "project": None, "name": "demo", "save_dir": "demo", "model": "yolo11n.yaml"}
    kept = {
        "model": content["model"], "ema": None, "optimizer": None, "epoch": -1, "version": content["version"],
        "train_args": {**content["train_args"], **neutral}, "license": "AGPL-3.0",
    }  # fmt: skip
    arguments = getattr(kept["model"], "args", {})
    kept["model"].args = {name: value for name, value in arguments.items() if name in ("imgsz", "task")}
    torch.save(kept, out)


def evaluate(weights: Path, folder: Path) -> dict[str, float]:
    """mAP50 and mAP50-95 on fresh healthy frames and through a dirty lens, as Ultralytics counts them."""
    result = {}
    for name, split in (("healthy", "val"), ("dirty", "test")):
        model = yolo.load(weights, folder / "settings")
        metrics = model.val(data=str(describe(folder)), split=split, imgsz=world.IMAGE_SIZE, plots=False, workers=0,
                            device="cpu", verbose=False, project=str(folder / "runs"), name=f"val-{name}")  # fmt: skip
        result[f"{name} mAP50"] = round(float(metrics.box.map50), 4)
        result[f"{name} mAP50-95"] = round(float(metrics.box.map), 4)
    return result


def main() -> None:
    """Make the data, train, publish, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        yolo.prepare_environment(folder / "settings")
        write_set(folder, "train", FIRST_DAY, days=9, frames_a_day=20)
        write_set(folder, "val", FIRST_DAY + timedelta(days=30), days=4, frames_a_day=12)
        write_set(folder, "dirty", FIRST_DAY + timedelta(days=60), days=4, frames_a_day=12, dirt=1.0)
        publish(train(folder, options.epochs), options.out)
        print(json.dumps({**evaluate(options.out, folder), "bytes": options.out.stat().st_size}))


if __name__ == "__main__":
    main()
