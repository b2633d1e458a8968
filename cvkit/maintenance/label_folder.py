"""A label plan as a folder for labelling tools, and the labels that come back from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from cvkit.config import Config
from cvkit.data import label_plans
from cvkit.data.sources import classes, exports, label_places, returned
from cvkit.data.sources.exports import COCO_FILE, SPLIT, Format
from cvkit.errors import ConfigError
from cvkit.maintenance.labelling import EARLIER, MISTAKE, STRANGE, Plan
from cvkit.storage import lock, replacing_folder, write_text

COLUMNS = ("file", "image_id", "source", "time", "stratum", "score", "probability", "weight", "reason")
README = {
    "yolo": f"""CVAT: make a task with the images of {SPLIT}/images and the labels of {SPLIT}/classes.txt; zip this \
folder and upload it as annotations in the format "Ultralytics YOLO Detection 1.0".
Label Studio: label-studio-converter import yolo -i {SPLIT} -o tasks.json --image-ext .jpg,.jpeg,.png, then import \
tasks.json with the labelling configuration written beside it, and serve {SPLIT}/images as local files.
""",
    "coco": f"""CVAT: make a task with the images of images and the same labels as in {COCO_FILE}; upload that file as \
annotations in the format "COCO 1.0".
Label Studio: label-studio-converter import coco -i {COCO_FILE} -o tasks.json, then import tasks.json with the \
labelling configuration written beside it, and serve images as local files.
""",
}
BACK = f"""Then: export as YOLO or COCO from the tool, copy {returned.PLAN_FILE} into that folder, and \
`cvkit labels import FOLDER` puts the labels where captures.labels says.
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came back."""

    labelled: int  # images that got labels
    boxes: int
    missing: int  # images of the plan that did not come back


def export(config: Config, plan: Plan, folder: Path, kind: Format, made: datetime) -> str:
    """Write the images asked for with the model's boxes to `folder`, and keep the plan in the workspace: its name.

    Both or neither, whatever happens meanwhile. Raises ConfigError where there is something at `folder` already,
    BusyError while another process writes a plan, StorageError where images cannot be read, or the disk is full.
    """
    if folder.exists():
        raise ConfigError(
            "there is something at this place already", where=str(folder), expected="a new folder", found="one",
            remedy="name another with --out; a plan is never written over",
        )  # fmt: skip
    write = {"yolo": exports.write_yolo, "coco": exports.write_coco}[kind]
    with lock(config.workspace / "locks" / "label-plans.lock", "writing a label plan"):
        label_plans.settle(config)
        with replacing_folder(folder) as part:
            write(part, plan.images, plan.boxes, plan.classes)
            plan_table(plan).to_csv(part / returned.PLAN_FILE, index=False)
            (part / "README.txt").write_text(README[kind] + BACK, encoding="utf-8")
            name = label_plans.begin(config, plan.frame, made, folder)  # counts once the folder is there
        label_plans.finish(config, name)
    return name


def plan_table(plan: Plan) -> pd.DataFrame:
    """The rows of plan.csv: the images asked for, by their names in the folder, with their weights and sizes."""
    asked = plan.frame.loc[plan.frame["drawn"], list(COLUMNS)]
    return asked.merge(plan.images[["image_id", "width", "height"]], on="image_id")


def strata_table(plan: Plan) -> str:
    """The strata of a plan and what it is expected to tell, as a table for a terminal."""
    frame = plan.frame[plan.frame["reason"].ne(EARLIER)]
    lines = [f"{'source':12} {'images':>7} {'asked':>6} {'expected F1':>12}"]
    for _, part in frame.groupby("stratum"):
        named = sorted(set(part["source"]))
        certain = part["probability"].eq(1).all() and part["reason"].isin([MISTAKE, STRANGE]).any()
        about = "all, certain" if certain else (named[0] or "(no source)") if len(named) == 1 else "all"
        low, high = part["score"].min(), part["score"].max()
        shown = "unknown" if math.isnan(low) else f"{low:.2f} - {high:.2f}"
        lines.append(f"{about:12} {len(part):7} {int(part['drawn'].sum()):6} {shown:>12}")
    asked = int(frame["drawn"].sum())
    if math.isnan(plan.half_width):
        return "\n".join([*lines, f"{asked} images asked for; how sure F1 will be cannot be told beforehand"])
    sure = f"mean F1 to within -/+ {plan.half_width:.3f}, drawn at random {plan.half_width_random:.3f}"
    return "\n".join([*lines, f"{asked} images asked for; expected: {sure}"])


def import_labels(config: Config, folder: Path) -> Imported:
    """Put the labels of a tool's export where `captures.labels` reads them, in the class ids that it reads.

    All are read and checked before the first is written; each file appears whole, in place of what it held. Raises
    DataError and ConfigError as `cvkit.data.sources.returned` and `label_places` do.
    """
    numbers = dict(enumerate(config.captures.label_classes)) or classes.class_names(config)  # as files are read back
    back = returned.read_returned(folder, numbers)
    places = label_places.label_files(config, back.lines)
    for image_id, lines in back.lines.items():
        write_text(places[image_id], "".join(f"{line}\n" for line in lines))
    return Imported(len(back.lines), sum(map(len, back.lines.values())), len(back.missing))
