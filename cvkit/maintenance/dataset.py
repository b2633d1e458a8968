"""The data set for a training: labelled production images and old ones, and nothing that touches the test set."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cvkit.config import Config
from cvkit.data.sources import exports
from cvkit.errors import DataError, StorageError
from cvkit.maintenance import candidates, leakage, replay, test_set
from cvkit.maintenance.candidates import CANDIDATES, PRODUCTION, REPLAY, Candidates, Progress
from cvkit.maintenance.test_set import TestSet
from cvkit.storage import lock, read_parquet, replacing_folder, write_parquet
from cvkit.tables import BOXES, LEFT_OUT, MANIFEST, Window, conform

Kind = Literal["incremental", "full"]
FOLDER = "retraining/data"
VALIDATION = 0.2  # share of the images, by whole stretches, that a training is watched with
FACTS, PARTS = "summary.json", {"manifest": MANIFEST, "labels": BOXES, "left_out": LEFT_OUT}
SHOWN = 5  # images that an error names


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A data set on disk, ready for a training."""

    id: str  # of its content
    folder: Path
    kind: Kind  # of the training it serves
    manifest: pd.DataFrame  # table MANIFEST
    labels: pd.DataFrame  # table BOXES, in pixels
    left_out: pd.DataFrame  # table LEFT_OUT
    summary: dict[str, Any]

    @property
    def data(self) -> Path:
        """Its data.yaml, for Ultralytics."""
        return self.folder / "data.yaml"


def prepare(
    config: Config,
    windows: Sequence[Window],
    *,
    kind: Kind = "incremental",
    seed: int = 0,
    validation: float = VALIDATION,
    progress: Progress = lambda done, total: None,
) -> Prepared:
    """The data set that the labelled production images of `windows` give; written, unless it is there already.

    The test set takes its share of them first and is frozen. An incremental training gets `retraining.replay` old
    images for each new one, a full one all of them. Copies, exact and near, are in it once; what touches the test set
    is left out. The same images give the same data set, under the same `id`. `progress` hears windows read and in all.
    Raises DataError where too few labelled images are left, where there are no old ones, and where labels are of
    classes that the model does not know.
    """
    with lock(config.workspace / "locks" / "retraining.lock", "preparing or training", wait_s=0):
        names = candidates.class_names(config)
        produced = candidates.production(config, windows, progress)
        if produced.images.empty:
            raise _too_few(config, windows, 0, produced.left_out)
        test = test_set.grow(config, produced)
        new = leakage.apart(config, produced, test)
        if len(new.images) < config.retraining.minimum_labels:
            raise _too_few(config, windows, len(new.images), new.left_out)
        both = _both(config, new, _old(config, kind, len(new.images), test, seed))
        manifest = _manifest(both.images, both.labels, validation)
        return _written(config, kind, manifest, both, names, test)


def load(config: Config, name: str) -> Prepared:
    """A prepared data set by its id. Raises DataError where there is none, StorageError where it is damaged."""
    folder = config.workspace / FOLDER / name
    if not (folder / FACTS).is_file():
        known = sorted(path.parent.name for path in (config.workspace / FOLDER).glob(f"[!.]*/{FACTS}"))
        raise DataError(
            f"there is no data set `{name}`", where=str(folder.parent), expected=", ".join(known) or "a prepared one",
            found=name, remedy="`cvkit retrain prepare` makes one",
        )  # fmt: skip
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tables = {one: conform(read_parquet(folder / f"{one}.parquet"), columns) for one, columns in PARTS.items()}
        return Prepared(str(facts["id"]), folder, facts["kind"], summary=facts, **tables)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(
            "the data set for training is damaged", where=str(folder), found=f"{type(error).__name__}: {error}"[:200],
            remedy="delete this folder and run `cvkit retrain prepare` again",
        ) from error  # fmt: skip


def newest(config: Config, kind: Kind | None = None) -> Prepared:
    """The data set, for trainings of this kind, that was prepared last. Raises DataError where there is none."""
    files = (config.workspace / FOLDER).glob(f"[!.]*/{FACTS}")
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        if (found := load(config, file.parent.name)).kind == (kind or found.kind):
            return found
    about = f" --kind {kind}" if kind else ""
    raise DataError(
        f"there is no data set for {kind or 'any'} training", where=str(config.workspace / FOLDER),
        expected="a prepared one", found="none", remedy=f"run `cvkit retrain prepare{about}` first",
    )  # fmt: skip


def check(prepared: Prepared, test: TestSet, *, near_bits: int = 4, neighbours_s: float = 60.0) -> None:
    """Raise DataError, with the list, where a data set touches the test set, or is not what was prepared any more.

    Every file is read: it has to be the one that the manifest names, and no other may be there.
    """
    there = {path.relative_to(prepared.folder).as_posix(): path for path in prepared.folder.glob("*/images/*")}
    hashes = {name: _hash(path) for name, path in there.items()}
    held = dict(zip(test.images["content"], test.images["image_id"], strict=True))
    touching = [f"{name} is the test image {held[one]}" for name, one in sorted(hashes.items()) if one in held]
    mine = conform(prepared.manifest[[name for name in CANDIDATES if name in MANIFEST]], CANDIDATES)
    mine = mine.assign(path=[str(prepared.folder / name) for name in prepared.manifest["file"]])
    mine = mine[~mine["content"].isin(held)]  # told above
    found, other = Candidates(mine, prepared.labels, prepared.left_out), test_set.as_candidates(test)
    leaks = leakage.against(found, other.images, other.labels, near_bits=near_bits, neighbours_s=neighbours_s)
    touching += [f"{row.image_id}: {row.reason} ({row.other})" for row in leaks.itertuples()]
    if touching:
        raise DataError(
            "the data set for training touches the test set", where=str(prepared.folder),
            expected="no image of the test set, nor a copy or a neighbour of one", found=_some(touching),
            remedy="run `cvkit retrain prepare` again: it leaves them out",
        )  # fmt: skip
    meant = dict(zip(prepared.manifest["file"], prepared.manifest["content"], strict=True))
    if hashes != meant:
        wrong = sorted(name for name in {*hashes, *meant} if hashes.get(name) != meant.get(name))
        raise DataError(
            "the data set for training is not what was prepared", where=str(prepared.folder),
            expected="the images that its manifest names", found=_some(wrong),
            remedy="delete this folder and run `cvkit retrain prepare` again",
        )  # fmt: skip


def describe(prepared: Prepared) -> str:
    """What a data set consists of, as lines for a terminal."""
    lines = [f"data {prepared.id} for {prepared.kind} training: {len(prepared.manifest)} images"]
    for (origin, split), part in prepared.manifest.groupby(["origin", "split"]):
        of = ", ".join(f"{source or '(no source)'} {count}" for source, count in part["source"].value_counts().items())
        lines.append(f"  {origin:10} {split:5} {len(part):6}  {of}")
    for (origin, reason), part in prepared.left_out.groupby(["origin", "reason"]):
        lines.append(f"  left out: {len(part)} of {origin}: {reason}")
    lines += [f"  note: {note}" for note in prepared.summary["notes"]]
    return "\n".join(lines)


def _old(config: Config, kind: Kind, new: int, test: TestSet, seed: int) -> Candidates | None:
    if kind == "full":
        return replay.everything(config, test)
    wanted = round(config.retraining.replay * new)
    return replay.draw(config, wanted, test, seed) if wanted else None


def _both(config: Config, new: Candidates, old: Candidates | None) -> Candidates:
    """New and old candidates, without copies; an old image with the name of a new one gets another."""
    if old is None:
        both = Candidates(new.images.assign(stratum=""), new.labels, new.left_out)
    else:
        taken = set(new.images["image_id"])
        renamed = {one: f"old/{one}" for one in old.images["image_id"] if one in taken}
        images, labels = (
            table[table["image_id"].isin(old.images["image_id"])].replace({"image_id": renamed})
            for table in (old.images, old.labels)
        )
        mine = new.labels[new.labels["image_id"].isin(taken)]
        both = Candidates(
            pd.concat([new.images.assign(stratum=""), images], ignore_index=True),
            conform(pd.concat([mine, labels], ignore_index=True), BOXES),
            conform(pd.concat([new.left_out, old.left_out], ignore_index=True), LEFT_OUT),
        )
    return leakage.without(both, leakage.within(both, near_bits=config.retraining.near_bits))


def _manifest(images: pd.DataFrame, labels: pd.DataFrame, validation: float) -> pd.DataFrame:
    """`images` with their files, splits and numbers of boxes, in the order of their names."""
    images = images.sort_values(["origin", "image_id"], ignore_index=True)
    split = pd.concat([_split(part, validation) for _, part in images.groupby(["origin", "source"])])
    images = images.assign(split=split)
    names = exports.file_names([f"{row.origin}/{row.image_id}" for row in images.itertuples()])
    files = [f"{split}/images/{name}" for split, name in zip(images["split"], names, strict=True)]
    boxes = images["image_id"].map(labels["image_id"].value_counts()).fillna(0)
    return images.assign(file=files, boxes=boxes.astype("int64"))


def _split(images: pd.DataFrame, share: float) -> pd.Series:
    """`train` or `val` of images of one source: by whole stretches, where there are two, else image by image."""
    groups = pd.Series(test_set.stretch_names(images), index=images.index, dtype="str")
    if groups.nunique() < 2 or images["time"].isna().all():
        groups = images["content"]
    sizes = groups.value_counts()
    sides = test_set.divide([], {name: int(sizes[name]) for name in sorted(sizes.index, key=test_set.order)}, share)
    watched = groups.map(sides) == test_set.TEST if len(sizes) > 1 else pd.Series(False, index=images.index)
    return watched.map({True: "val", False: "train"})


def _written(
    config: Config, kind: Kind, manifest: pd.DataFrame, both: Candidates, names: dict[int, str], test: TestSet
) -> Prepared:
    labels = both.labels[both.labels["image_id"].isin(manifest["image_id"])]
    identity = _identity(kind, manifest, labels, names)
    folder = config.workspace / FOLDER / identity
    for left in folder.parent.glob(".*.part"):  # of runs that were killed; the lock says that none is at work
        shutil.rmtree(left, ignore_errors=True)
    if not (folder / FACTS).is_file():
        with replacing_folder(folder) as part:
            base = manifest["file"].map(lambda file: Path(file).name)
            exports.write_dataset(part, manifest.assign(file=base), labels, names)
            write_parquet(conform(manifest[list(MANIFEST)], MANIFEST), part / "manifest.parquet")
            write_parquet(conform(labels, BOXES), part / "labels.parquet")
            write_parquet(both.left_out, part / "left_out.parquet")
            facts = _summary(config, identity, kind, manifest, test)
            (part / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
    else:  # the same images may be what is left of other ones
        write_parquet(both.left_out, folder / "left_out.parquet")
    return load(config, identity)


def _summary(config: Config, identity: str, kind: Kind, manifest: pd.DataFrame, test: TestSet) -> dict[str, Any]:
    counts = {f"{one} {split}": len(part) for (one, split), part in manifest.groupby(["origin", "split"])}
    new, old = (int((manifest["origin"] == one).sum()) for one in (PRODUCTION, REPLAY))
    notes = []
    if kind == "incremental" and old < (wanted := round(config.retraining.replay * new)):
        notes.append(f"{old} old images are replayed, not {wanted}: no more are left")
    if kind == "incremental" and not config.retraining.replay:
        notes.append("no old image is replayed: what the model knew may be forgotten")
    return {"id": identity, "kind": kind, "test": test.id, "champion": config.version, "images": counts, "notes": notes}


def _identity(kind: Kind, manifest: pd.DataFrame, labels: pd.DataFrame, names: dict[int, str]) -> str:
    digest = hashlib.sha256(json.dumps([kind, sorted(names.items())]).encode())
    rows = manifest[["file", "content", "origin", "stratum"]]
    boxes = labels.sort_values(["image_id", "class_id", "x1", "y1"])[["image_id", "class_id", "x1", "y1", "x2", "y2"]]
    for table in (rows, boxes):
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:12]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _some(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{len(words)}: {'; '.join(words[:SHOWN])}{more}"


def _leaked(gone: pd.DataFrame) -> int:
    """How many images a test set left out that does not hold them itself."""
    return int(gone["reason"].str.contains("near copy of a test|within").sum())


def _too_few(config: Config, windows: Sequence[Window], found: int, gone: pd.DataFrame) -> DataError:
    counts = ", ".join(f"{count} {reason}" for reason, count in gone["reason"].value_counts().items())
    days = f" from {windows[0]} to {windows[-1]}" if windows else ""
    return DataError(
        "there are too few labelled images of production to train on", where=f"{config.path}, retraining",
        expected=f"at least {config.retraining.minimum_labels} (minimum_labels){days}",
        found=f"{found}" + (f"; left out: {counts}" if counts else ""),
        remedy="label images of other days: these are copies or neighbours of test images" if _leaked(gone) > found else
        "label more (`cvkit labels plan`), name more windows, or lower retraining.minimum_labels",
    )  # fmt: skip
