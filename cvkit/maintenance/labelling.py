"""Which images to label next: a stratified sample that tells most about the model's F1, and the likeliest mistakes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cvkit import markup
from cvkit.config import Config
from cvkit.data import label_plans
from cvkit.data.features import copies
from cvkit.data.labelled import IOU, f1_of_images, labelled
from cvkit.data.recorder_files import MADE
from cvkit.data.sources.exports import file_names
from cvkit.errors import ConfigError, DataError
from cvkit.monitoring import monitor
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.monitoring.monitor import Observation
from cvkit.monitoring.reference import Reference
from cvkit.stats.arrays import Floats
from cvkit.stats.quality import operation
from cvkit.stats.quality.boxes import Booleans, Integers
from cvkit.stats.unlabelled import correctness, sampling
from cvkit.stats.unlabelled.correctness import Correctness
from cvkit.tables import BOXES, LABEL_PLAN, Window, conform

LIKELY_WRONG = 0.1  # share of the budget for the likeliest mistakes; see the benchmark `labels`
PER_STRATUM = 5  # labels, on average, that a stratum is to get
WIDEST = 0.5  # half of an interval of F1 from which on it tells nothing
PLAIN, MISTAKE, STRANGE = "speaks for its stratum", "likeliest mistake", "strange"
BY_HAND = "picked by hand"
EARLIER = "asked for by an earlier plan"  # why an image of the frame could not be drawn
Edges = Mapping[str, tuple[int, Floats]]  # by source: the number of its first stratum, and its cuts


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which images to ask for, out of which, and what that is expected to tell."""

    frame: pd.DataFrame  # table LABEL_PLAN: every image that could have been asked for
    images: pd.DataFrame  # of those asked for: image_id, file, path, width, height
    boxes: pd.DataFrame  # table BOXES: what the model says about those, to be corrected
    classes: dict[int, str]
    half_width: float  # of the 95 % interval of mean F1 that is to be expected; NaN where nothing is known of spreads
    half_width_random: float  # the same of as many images drawn at random
    notes: tuple[str, ...]  # what limits the plan, in words

    def _repr_html_(self) -> str:
        counted = self.frame.groupby("source")["drawn"].agg(["sum", "size"])
        rows = [(markup.text(source or "(no source)"), str(asked), str(of))
                for source, (asked, of) in zip(counted.index, counted.to_numpy(), strict=True)]  # fmt: skip
        asked = f"<p><b>{int(self.frame['drawn'].sum())}</b> of {len(self.frame)} images to label</p>"
        return asked + markup.table(("source", "asked for", "of"), rows) + markup.items(self.notes)


def newest_window(config: Config) -> Window:
    """The newest window that was measured. Raises DataError where there is none."""
    with History.open(config.history_url) as history:
        measured = history.measured_windows(config.model.name, history.current_version(config))
    if not measured:
        raise DataError(
            "no window has been measured", where=str(config.path), expected="measured windows", found="none",
            remedy="run `cvkit run` first, or name the days with --from and --to",
        )  # fmt: skip
    return measured[-1]


def plan(
    config: Config,
    windows: Sequence[Window],
    budget: int,
    *,
    source: str = "",
    seed: int = 0,
    likely_wrong: float = LIKELY_WRONG,
) -> Plan:
    """Choose `budget` images of `windows` (of `source` only, where it is given) to be labelled.

    Candidates are readable images without labels that no earlier plan asked for. A share `likely_wrong` of the budget
    goes to those of the lowest expected F1 and to strange ones: a stratum that is taken wholly, so that weights stay
    valid. The rest is drawn at random from strata of alike expected F1 within each source. The same seed gives the same
    plan, as long as no other was made. Raises ConfigError on a budget below 1, DataError without candidates.
    """
    if budget < 1:
        raise ConfigError("there is nothing to plan", expected="--budget of at least 1", found=str(budget))
    reference = reference_step.load(config)
    known = learnt(reference, config.model.confidence)
    seen = [_candidates(monitor.observe(config, window, reference), known, config, source) for window in windows]
    rows = pd.concat([rows for rows, _ in seen], ignore_index=True)
    boxes = pd.concat([found for _, found in seen], ignore_index=True)
    plans = label_plans.load(config)
    before = {one for frame in plans.values() for one in frame.loc[frame["drawn"], "image_id"]}
    open_rows = rows[~rows["labelled"] & ~rows["image_id"].isin(before)].reset_index(drop=True)
    waiting = int((~rows["labelled"] & rows["image_id"].isin(before)).sum())
    if open_rows.empty:
        raise _nothing_left(config, windows, source, len(rows), waiting)
    random = np.random.default_rng([seed, len(plans)])
    earlier = rows[rows["image_id"].isin(before)].reset_index(drop=True)
    frame = choose(open_rows, budget, random, likely_wrong=likely_wrong, earlier=earlier)
    notes = _notes(open_rows, known, budget, waiting, config)
    return _assembled(frame, rows, boxes, _class_names(config, reference, boxes), notes)


def by_hand(config: Config, seen: Sequence[Observation], image_ids: Collection[str]) -> Plan:
    """The images of `seen` that a person picked, to be labelled; what of them cannot be asked for stands in the notes.

    They have no probability, and so no weight: a person picks what looks wrong, and such labels tell nothing of other
    images. Raises DataError where none of them can be asked for.
    """
    before = {one for frame in label_plans.load(config).values() for one in frame.loc[frame["drawn"], "image_id"]}
    parts = [_candidates(one, None, config, "") for one in seen]
    rows, boxes = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    picked = rows[rows["image_id"].isin(list(image_ids))].reset_index(drop=True)
    asked = ~picked["labelled"] & picked["image_id"].isin(before)
    counts = {
        "have labels already": int(picked["labelled"].sum()),
        "were asked for already": int(asked.sum()),
        "have no readable file of their own, or are copies of another": len(set(image_ids)) - len(picked),
    }
    notes = [f"{count} of the picked images {why}." for why, count in counts.items() if count]
    frame = picked[~picked["labelled"] & ~asked].assign(
        stratum=0, score=np.nan, spread=np.nan, probability=np.nan, drawn=True, weight=np.nan, reason=BY_HAND, file=""
    )
    if frame.empty:
        raise DataError(
            "there is no image to ask for", where=str(config.path), expected="picked images that can be labelled",
            found=" ".join(notes) or "none picked", remedy="pick others",
        )  # fmt: skip
    frame = conform(frame[list(LABEL_PLAN)], LABEL_PLAN)
    return _assembled(frame, rows, boxes, _class_names(config, seen[0].reference, boxes), notes)


def learnt(reference: Reference, confidence: float) -> Correctness | None:
    """What the reference's labels teach about predictions; None with fewer than `correctness.FEWEST` such images."""
    known = labelled(reference.images, reference.predictions, reference.labels)
    if len(known.image_ids) < correctness.FEWEST or not known.classes:
        return None
    matches = known.match()
    hit, false = operation.outcomes(matches, confidence, IOU)
    which = np.flatnonzero(hit | false)
    rows = matches.order[which]
    found = matches.predictions
    f1 = f1_of_images(known, confidence)["f1"]
    missed = operation.per_image(matches, confidence, threshold=IOU).missed
    return correctness.learn(found.image[rows], found.score[rows], hit[which], missed, f1)


def choose(
    rows: pd.DataFrame,
    budget: int,
    random: np.random.Generator,
    *,
    likely_wrong: float = LIKELY_WRONG,
    earlier: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The table LABEL_PLAN of candidates `rows`: image_id, source, time, score, spread, strange.

    `strange` is a p-value, NaN of images that are not flagged. `earlier` are images of the same windows that earlier
    plans asked for: they are not asked again, and get the probability that they would have had, so that chances over
    several plans can be told. All candidates where the budget allows.
    """
    taken = _certain(rows, min(budget, len(rows)), likely_wrong)
    groups = _groups(rows[~taken], budget - int(taken.sum()))
    place, edges = _strata(rows, taken, groups, min(budget, len(rows)) - int(taken.sum()))
    sizes = np.bincount(place)
    counts = _allocated(rows, place, sizes, taken, min(budget, len(rows)))
    drawn = sampling.draw(place, counts, random)
    chance = (counts / sizes)[place]
    words = np.where(~taken, PLAIN, np.where(rows["strange"].notna(), STRANGE, MISTAKE))
    table = rows.assign(
        stratum=place, probability=chance, drawn=drawn, weight=np.where(drawn, 1 / chance, np.nan),
        reason=np.where(drawn, words, ""), file="",
    )  # fmt: skip
    parts = [table[[name for name in LABEL_PLAN if name in table]]]
    if earlier is not None and len(earlier) and edges:
        parts.append(_earlier(earlier, edges, counts / sizes))
    return conform(pd.concat(parts, ignore_index=True), LABEL_PLAN)


def _candidates(
    seen: Observation, known: Correctness | None, config: Config, source: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readable images of a window with what is expected of them, and the boxes that are deployed on them.

    Not frames that a recorder took which are no files of the captures: nobody could say where their labels belong.
    """
    images = seen.records.images.drop(columns=["width", "height"])
    images = images[(images["path"] != "") & ~images["image_id"].str.startswith(MADE)]
    rows = images.merge(seen.features[["image_id", "damage", "content", "width", "height"]], on="image_id")
    rows = rows[rows["labelled"] | ~copies(rows)].drop(columns="content")  # copies tell nothing new
    rows = rows[rows["damage"].isin(["", "truncated"]) & (rows["source"].eq(source) if source else True)]
    odd = seen.anomalies.loc[seen.anomalies["flagged"], ["image_id", "p_value"]]
    rows = rows.merge(odd.rename(columns={"p_value": "strange"}), on="image_id", how="left").reset_index(drop=True)
    boxes = seen.records.predictions
    boxes = boxes[boxes["confidence"].ge(config.model.confidence) & boxes["image_id"].isin(rows["image_id"])]
    place = pd.Series(np.arange(len(rows)), index=rows["image_id"]).loc[boxes["image_id"]].to_numpy()
    scores = expected(known, place, boxes["confidence"].to_numpy(), len(rows))
    scores = np.where(rows["predicted"], scores, np.nan)
    spreads = np.full(len(rows), np.nan) if known is None else correctness.spread(known, scores)
    return rows.assign(score=scores, spread=spreads), boxes


def expected(known: Correctness | None, place: Integers, confidence: Floats, images: int) -> Floats:
    """Expected F1 of each image from its boxes: the image each is on, 0.., and its confidence.

    Where nothing was learnt, the mean confidence of an image's boxes, NaN without any.
    """
    if known is not None:
        return correctness.expected_f1(known, place, confidence, images)
    return operation.ratio(np.bincount(place, confidence, images), np.bincount(place, minlength=images))


def _certain(rows: pd.DataFrame, budget: int, share: float) -> Booleans:
    """The images that are taken for certain: strange ones for at most half of the share, then the lowest scores."""
    most = math.floor(share * budget)
    odd = rows["strange"].dropna().sort_values(kind="stable").index[: most // 2]
    low = rows["score"].dropna().drop(odd, errors="ignore").sort_values(kind="stable").index[: most - len(odd)]
    return np.asarray(rows.index.isin([*odd, *low]))


def _groups(rows: pd.DataFrame, budget: int) -> list[str]:
    """The sources that get strata of their own; none where the budget is too small to part them."""
    names = sorted(set(rows["source"]))
    return names if budget >= PER_STRATUM * len(names) else []


def _strata(rows: pd.DataFrame, taken: Booleans, groups: list[str], budget: int) -> tuple[Integers, Edges]:
    """The stratum of each candidate, numbered without gaps, and the cuts. Those taken for certain are the last one."""
    place = np.full(len(rows), -1)
    edges: dict[str, tuple[int, Floats]] = {}
    for name in groups or [""]:
        mine = ~taken & (rows["source"].eq(name).to_numpy() if groups else True)
        if not mine.any():
            continue
        most = max(1, min(sampling.STRATA, budget * int(mine.sum()) // int((~taken).sum()) // PER_STRATUM))
        part = rows[mine]
        ends = sampling.cuts(part["score"], part["spread"].fillna(1.0), most)
        first = int(place.max()) + 1
        place[mine] = first + np.unique(sampling.strata(part["score"], ends), return_inverse=True)[1]
        edges[name] = first, ends
    if budget < sampling.FEWEST * (place.max() + 1):  # too few to draw some of each
        place[~taken], edges = 0, {"": (0, np.empty(0))}
    place[taken] = place.max() + 1
    return place, edges


def _allocated(rows: pd.DataFrame, place: Integers, sizes: Integers, taken: Booleans, budget: int) -> Integers:
    """How many images of each stratum are drawn: all of those that are certain, of others as the spreads say."""
    certain = int(taken.sum())
    drawable = len(sizes) - bool(certain)
    spreads = sampling.cautious(sizes[:drawable], _spreads(rows, place)[:drawable])
    fewest = min(sampling.FEWEST, budget - certain)
    counts = sampling.allocate(sizes[:drawable], spreads, budget - certain, fewest)
    return np.append(counts, certain) if certain else counts


def _spreads(rows: pd.DataFrame, place: Integers) -> Floats:
    """Standard deviation of F1 to be expected in each stratum: within images' spreads, and of their scores."""
    within = rows["spread"].pow(2).groupby(place).mean()
    between = rows["score"].groupby(place).var(ddof=0)
    return np.asarray(np.sqrt(within + between.fillna(0.0)), dtype=np.float64)


def _earlier(rows: pd.DataFrame, edges: Edges, chances: Floats) -> pd.DataFrame:
    """Images that earlier plans asked for, with the stratum and probability that they would have had in this one.

    Of a source that has no images left to draw, they have no part in it.
    """
    parts = []
    for name, (first, ends) in edges.items():
        mine = rows[rows["source"].eq(name)] if name or len(edges) > 1 else rows
        parts.append(mine.assign(stratum=first + np.minimum(sampling.strata(mine["score"], ends), len(ends))))
    table = pd.concat(parts)
    table = table.assign(
        probability=chances[table["stratum"]], drawn=False, weight=np.nan, reason=EARLIER, file=""
    )  # fmt: skip
    return table[list(LABEL_PLAN)]


def _assembled(
    frame: pd.DataFrame, rows: pd.DataFrame, boxes: pd.DataFrame, classes: dict[int, str], notes: list[str]
) -> Plan:
    asked = frame["drawn"].to_numpy()
    frame = frame.copy()
    frame.loc[asked, "file"] = file_names(frame.loc[asked, "image_id"].tolist())
    images = frame.loc[asked, ["image_id", "file"]].merge(rows[["image_id", "path", "width", "height"]], on="image_id")
    mine = conform(boxes[boxes["image_id"].isin(images["image_id"])], BOXES)
    return Plan(frame, images, mine, classes, *_half_widths(frame), tuple(notes))


def _half_widths(frame: pd.DataFrame) -> tuple[float, float]:
    """Half of the 95 % interval of mean F1 to be expected of the plan, and of as many images drawn at random."""
    rows = frame[(frame["probability"] > 0) & frame["reason"].ne(EARLIER)]
    if rows["spread"].isna().all():
        return math.nan, math.nan
    place = np.unique(rows["stratum"], return_inverse=True)[1]
    sizes, counts = np.bincount(place), np.bincount(place, rows["drawn"])
    spreads = _spreads(rows.reset_index(drop=True), place)
    planned = sampling.expected_error(sizes, spreads, counts)
    whole = _spreads(rows.reset_index(drop=True), np.zeros(len(rows), dtype=int))
    plain = sampling.expected_error([len(rows)], whole, [counts.sum()])
    free = counts[counts < sizes].sum() - np.count_nonzero(counts < sizes)
    halves = (
        sampling.half_width(planned, free) if free > 0 or not planned else math.nan,
        sampling.half_width(plain, counts.sum() - 1) if counts.sum() > 1 or not plain else math.nan,
    )
    return halves if max(halves) < WIDEST else (math.nan, math.nan)


def _notes(rows: pd.DataFrame, known: Correctness | None, budget: int, waiting: int, config: Config) -> list[str]:
    """What limits a plan, in words."""
    notes = []
    if known is None:
        notes.append(
            f"The reference has fewer than {correctness.FEWEST} labelled images to learn from: strata get labels in "
            "proportion to their images, which is on average no worse than drawing at random."
        )
    if unpredicted := int((~rows["predicted"]).sum()):
        notes.append(f"{unpredicted} of {len(rows)} images have no predictions: nothing is expected of them.")
    if budget > len(rows):
        notes.append(f"There are {len(rows)} images to ask for: all of them are.")
    if waiting:
        where = config.workspace / label_plans.FOLDER
        notes.append(
            f"{waiting} images of earlier plans have no labels yet and are not asked for again; delete a plan from "
            f"{where} to give it up."
        )
    return notes


def _class_names(config: Config, reference: Reference, boxes: pd.DataFrame) -> dict[int, str]:
    """Names by id, without gaps, of all classes the model knows or has said. ConfigError where nobody says any."""
    if not reference.classes:
        raise ConfigError(
            "the classes have no names, and labels are joined by name", where=f"{config.path}, model.classes",
            expected="names by id, e.g. [nut, bolt]", found="none", remedy="name them in model.classes",
        )  # fmt: skip
    last = max([*reference.classes, *boxes["class_id"]])
    return {number: reference.classes.get(number, f"class_{number}") for number in range(last + 1)}


def _nothing_left(config: Config, windows: Sequence[Window], source: str, images: int, waiting: int) -> DataError:
    days = f"{windows[0]} to {windows[-1]}" if len(windows) > 1 else str(windows[0])
    return DataError(
        "there is no image to ask for", where=f"{config.path}, {days}{f', {source}' if source else ''}",
        expected="readable images without labels that no earlier plan asked for",
        found=f"{images} readable images, {waiting} of them asked for and not labelled yet, all others labelled",
        remedy="name other days with --window or --from and --to",
    )  # fmt: skip
