"""What the gate said of a version: kept whole in the version's folder, and shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from cvkit.config import Config
from cvkit.errors import StorageError
from cvkit.storage import read_parquet, remove_tree, replacing_folder, write_parquet, write_text
from cvkit.tables import conform

Outcome = Literal["passed", "refused", "not enough"]
FILE, FOLDER = "gate.json", "gate"
NAME_WIDTH = 40  # characters of a part's name in a terminal
FORMAT = 4  # raised when what decides, or what is stored, changes

# One row per part of the test images that was compared, and metric.
PARTS: Mapping[str, str] = {
    "part": "str",  # all, old, new
    "by": "str",  # what it is cut by: "" the whole, else class, source, size, brightness, sharpness
    "value": "str",  # of that
    "metric": "str",  # f1 at the deployed confidence; recall of sizes; or ap, ap50 of the boxes that are left then
    "protected": "bool",  # must be shown to be no worse than the margin
    "images": "int64",
    "independent": "int64",  # images, or blocks of neighbours that are alike
    "champion": "float64",
    "challenger": "float64",
    "difference": "float64",  # challenger less champion
    "low": "float64",  # one-sided ends, each below or above with 95 %; NaN with too few images
    "high": "float64",
    "p_value": "float64",  # of the two being interchangeable on these images
    "limit": "float64",  # that low has to lie above: the gain, or less the margin; NaN of what is only shown
    "verdict": "str",  # gained, no gain, held, worse, not enough, not protected, shown
    "needed": "int64",  # images that would do, where verdict is "not enough"; 0 else
}

# One row per image on which the two models did not say the same.
FLIPPED: Mapping[str, str] = {
    "image_id": "str",
    "path": "str",
    "part": "str",
    "source": "str",
    "f1_champion": "float64",
    "f1_challenger": "float64",
    "change": "str",  # better, worse, other
    "what": "str",  # which boxes, in words
}


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What the gate said."""

    outcome: Outcome
    reasons: tuple[str, ...]
    parts: pd.DataFrame  # table PARTS
    flipped: pd.DataFrame  # table FLIPPED, the largest changes first
    latency_ms: tuple[float, float]  # median of an image: champion's, challenger's
    slower: float  # median of the images' ratios, challenger's over champion's
    size: tuple[int, int]  # bytes of the weights: champion's, challenger's
    notes: tuple[str, ...]  # what is not protected, and why
    champion: str
    challenger: str
    test: str  # id of the test set
    key: str  # of all that decides: versions, test set, settings
    made: datetime


def key_of(config: Config, champion: str, challenger: str, test: str) -> str:
    """A name for all that decides: versions, test set and settings. The same gives the same result."""
    chosen = config.retraining.model_dump(include={"margin", "margin_ap", "gain", "slower"})
    run_as = config.model.model_dump(include={"image_size", "confidence", "device"})
    deciding = [FORMAT, champion, challenger, test, chosen, run_as]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]


def write(folder: Path, result: Result) -> None:
    """Keep a result in a version's folder; it is the version's from the moment `gate.json` is replaced."""
    place = folder / FOLDER / result.key
    remove_tree(place)
    with replacing_folder(place) as part:
        write_parquet(result.parts, part / "parts.parquet")
        write_parquet(result.flipped, part / "flipped.parquet")
    facts = {name: getattr(result, name) for name in Result.__slots__ if name not in ("parts", "flipped")}
    write_text(folder / FILE, json.dumps({**facts, "made": result.made.isoformat()}, indent=2, ensure_ascii=False))


def read(folder: Path) -> Result | None:
    """The newest result in a version's folder; None where it was not judged. Raises StorageError where damaged."""
    try:
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return _result(facts, folder / FOLDER / facts["key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(
            "a gate's result is damaged", where=str(folder), found=f"{type(error).__name__}: {error}"[:200],
            remedy=f"delete {FILE} there: `cvkit retrain gate` judges the version again",
        ) from error  # fmt: skip


def text(result: Result) -> str:
    """A result as words and a table for a terminal."""
    whole = result.parts["by"].eq("") | result.parts["verdict"].isin(["worse", "not enough", "no gain"])
    told = result.parts[whole | result.parts["protected"]]
    lines = [f"{result.challenger} beside the champion {result.champion}: {result.outcome.upper()}"]
    lines += [f"  - {reason}" for reason in result.reasons]
    rows = [(_name(row), row) for row in told.to_dict("records")]
    width = min(max((len(name) for name, _ in rows), default=0), NAME_WIDTH)
    head = f"{'images':>6} {'champion':>8} {'this':>6} {'difference, 95 % each way':>27}  verdict"
    lines += ["", f"{'':{width}} {head}", *(f"{_cut(name):{width}} {_numbers(row)}" for name, row in rows)]
    better, worse = (int(result.flipped["change"].eq(word).sum()) for word in ("better", "worse"))
    lines += ["", f"{better} images better, {worse} worse"]
    lines += [f"  {row['change']:6} {row['image_id']}: {row['what']}" for row in _most(result.flipped)]
    times = "{:.1f} ms, {:.1f} ms".format(*result.latency_ms)
    sizes = ", ".join(f"{size / 1e6:.1f} MB" for size in result.size)
    lines += [f"an image takes: champion, this: {times} ({result.slower:.2f} times); weights {sizes}"]
    return "\n".join([*lines, *result.notes])


def named(part: str, by: str, value: str) -> str:
    """A part in words.

    >>> named("old", "class", "nut"), named("new", "", "")
    ('old images, class nut', 'new images')
    """
    return f"{part} images" + (f", {by} {value}" if by else "")


def _name(row: dict[Any, Any]) -> str:
    return named(row["part"], row["by"], row["value"]) + ("" if row["metric"] == "f1" else f", {row['metric']}")


def _cut(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"


def _numbers(row: dict[Any, Any]) -> str:
    interval = "" if pd.isna(row["low"]) else f"({row['low']:+.3f} to {row['high']:+.3f})"
    numbers = f"{row['images']:6} {row['champion']:8.3f} {row['challenger']:6.3f} {row['difference']:+8.3f}"
    return f"{numbers} {interval:18}  {row['verdict']}"


def _most(flipped: pd.DataFrame, most: int = 3) -> list[dict[Any, Any]]:
    """The largest changes, both ways."""
    sides = [flipped[flipped["change"] == word].head(most) for word in ("better", "worse")]
    return [row for side in sides for row in side.to_dict("records")]


def _result(facts: dict[str, Any], place: Path) -> Result:
    if facts["outcome"] not in get_args(Outcome):
        raise ValueError(f"outcome {facts['outcome']!r}")
    told = {
        **facts,
        **{name: tuple(facts[name]) for name in ("reasons", "latency_ms", "size", "notes")},
        "made": datetime.fromisoformat(facts["made"]),
    }
    parts, flipped = (
        conform(read_parquet(place / f"{name}.parquet"), columns)
        for name, columns in (("parts", PARTS), ("flipped", FLIPPED))
    )
    return Result(**told, parts=parts, flipped=flipped)
