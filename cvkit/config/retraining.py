"""When and how to retrain: the section `retraining`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, Field

from cvkit.config.alerts import Slug
from cvkit.config.values import Names, Section, once

Action = Literal[
    "keep", "repair the data", "label first", "recalibrate", "retrain incrementally", "retrain fully", "roll back"
]
Soundness = Literal["sound", "flawed", "broken"]
Harm = Literal["none", "unknown", "likely", "shown"]
DriftKind = Literal["none", "unknown", "gradual", "sudden", "drastic"]
Part = Literal["appearance", "class mix", "predictions"]
Labels = Literal["none", "few", "enough"]
Tried = Literal["none", "incremental", "full"]
ACTIONS: tuple[Action, ...] = get_args(Action)


# Without warm-up, which begins with a tenth as the biases' learning rate and would undo what the champion knows; `nbs`
# as the batch: a step for every batch, where a small set would else be over after a few. Epochs follow its size.
INCREMENTAL: dict[str, Any] = {
    "freeze": 10, "lr0": 0.0005, "optimizer": "AdamW", "batch": 16, "nbs": 16, "warmup_epochs": 0.0, "mosaic": 0.0,
}  # fmt: skip
FULL: dict[str, Any] = {"epochs": 60, "lr0": 0.01, "optimizer": "SGD"}


Word = TypeVar("Word")
Words = Annotated[tuple[Word, ...], Field(strict=False), AfterValidator(once)]  # some of them; none: any of them


class Policy(Section):
    """A row of the table: where all its conditions hold for a source, and those of no row above, it says what to do."""

    name: Slug = Field(description="Lower case, words joined by dashes.")
    action: Action = Field(description=f"What to do: {', '.join(ACTIONS)}.")
    data: Words[Soundness] = Field(
        (), description="sound; flawed: files or records at fault are a warning; broken: critical, or no images."
    )
    harm: Words[Harm] = Field(
        (), description="shown by labels; likely by labels or by estimates; none; unknown: nothing tells."
    )
    drift: Words[DriftKind] = Field(
        (), description="none; gradual: bit by bit; sudden; drastic: sudden and large; unknown: it cannot be judged."
    )
    changed: Words[Part] = Field(
        (), description="All that drifts is among these: appearance, class mix, predictions; at least one of them does."
    )
    labels: Words[Labels] = Field(
        (), description="Labelled images since the change, or the last update: none, few, enough (`minimum_labels`)."
    )
    tried: Words[Tried] = Field(
        (), description="The last training since the change that the gate refused: none, incremental, full."
    )
    new_class: bool | None = Field(None, description="Labels hold a class that the model does not know.")
    odd_images: bool | None = Field(None, description="More images are strange than may be.")
    threshold: bool | None = Field(None, description="Another confidence would restore F1.")
    after_update: bool | None = Field(None, description="It is worse than before the last update, and since then.")
    due: bool | None = Field(None, description="`every_days` have passed since the last update.")
    cooldown: bool | None = Field(None, description="An update was made within `cooldown_days`.")
    why: str = Field("", max_length=300, description="The reason, in words.")


# The update that did harm is undone, what is broken is mended, and no training learns from what nobody labelled.
DEFAULT_POLICIES: tuple[Policy, ...] = (
    Policy(name="broken-data", data=("broken",), action="repair the data",
           why="what a broken source sends tells nothing about the model"),
    Policy(name="bad-update", harm=("shown",), after_update=True, action="roll back",
           why="the version before did better, and nothing else changed"),
    Policy(name="new-class", harm=("shown", "likely"), new_class=True, action="label first",
           why="somebody has to decide whether the model is to know the new class, and to label it"),
    Policy(name="threshold", harm=("shown",), threshold=True, action="recalibrate",
           why="another confidence restores F1, and costs no training"),
    Policy(name="wait", harm=("shown", "likely"), labels=("enough",), cooldown=True, action="keep",
           why="an update was made a short while ago; see first what it does"),
    Policy(name="nothing-helped", harm=("shown", "likely"), labels=("enough",), tried=("full",), action="label first",
           why="a full training on these images was refused: it takes more of them, or others"),
    Policy(name="drastic-drift", harm=("shown", "likely"), drift=("drastic",), labels=("enough",),
           action="retrain fully", why="the model is far from what it was trained on"),
    Policy(name="second-try", harm=("shown", "likely"), labels=("enough",), tried=("incremental",),
           action="retrain fully", why="an incremental training was not enough"),
    Policy(name="drift", harm=("shown", "likely"), labels=("enough",), action="retrain incrementally",
           why="the model can follow a change such as this from where it is"),
    Policy(name="no-labels", harm=("shown", "likely"), action="label first",
           why="nothing can be learnt from images without labels"),
    Policy(name="harm-unknown", harm=("unknown",), drift=("gradual", "sudden", "drastic", "unknown"),
           action="label first", why="labels tell whether the change does harm"),
    Policy(name="odd-images", harm=("unknown",), odd_images=True, action="label first",
           why="labels tell what the model makes of the odd images"),
    Policy(name="flawed-data", data=("flawed",), action="repair the data",
           why="the model does its job; some of what it is given is at fault"),
    Policy(name="calendar", due=True, labels=("enough",), action="retrain fully",
           why="the calendar asks for it"),
    Policy(name="calendar-labels", due=True, labels=("none", "few"), action="label first",
           why="the calendar asks for a training, which needs labels"),
    Policy(name="harmless-drift", harm=("none",), drift=("gradual", "sudden", "drastic"), action="keep",
           why="the change does no harm"),
    Policy(name="healthy", action="keep", why="nothing asks for anything else"),
)  # fmt: skip


RESERVED = ("stands", "no-policy", "not-measured")  # in records, in place of the name of a row


def _distinct(policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
    names = once(tuple(policy.name for policy in policies))
    if taken := sorted(set(names) & set(RESERVED)):
        raise ValueError(f"other names than {', '.join(taken)}: decisions without a row are recorded by them")
    return policies


class RetrainingSettings(Section):
    """Keeping the model up to date."""

    old: str = Field("", description="data.yaml with what the model was trained on; empty: that of `reference`.")
    old_split: str = Field("train", description="Its split.")
    test_share: float = Field(
        0.3, gt=0, lt=1, description="Share of the labelled production images that only test, by source and day."
    )
    neighbours_s: float = Field(
        60.0, ge=0, description="Seconds within which frames of one source count as copies of a test image."
    )
    near_bits: int = Field(4, ge=0, le=16, description="Bits of the 64-bit dHash that near copies may differ in.")
    sources: Names = Field((), description="Only images of sources that match one of these, e.g. cam-*; empty: all.")
    replay: float = Field(1.0, ge=0, le=20, description="Old images for each new one in incremental training.")
    unknown_classes: Literal["refuse", "leave out"] = Field(
        "refuse", description="What to do about production images with labels of classes the model does not know."
    )
    minimum_labels: int = Field(50, ge=2, description="Labelled images of production that a training needs.")
    cooldown_days: float = Field(7.0, ge=0, description="Days after an update in which no other is decided.")
    trial_days: float = Field(7.0, ge=0, description="Days after an update in which harm is put down to it.")
    every_days: float = Field(0.0, ge=0, description="Full training at least this often; 0: only when it is due.")
    margin: float = Field(0.02, gt=0, lt=1, description="How much worse a protected part may be, in F1.")
    margin_ap: float = Field(
        0.05, gt=0, le=1, description="AP that the old images may lose: F1 does not see boxes that lie worse."
    )
    gain: float = Field(0.02, ge=0, lt=1, description="More than this has to be gained on new images, in F1.")
    slower: float = Field(1.25, ge=1, description="Times the champion's latency that a challenger may take.")
    promote: Literal["ask", "yes", "no"] = Field("ask", description="What `cvkit retrain` does with one that passed.")
    recent_windows: int = Field(7, ge=2, description="Newest labelled windows that tell how good the model is now.")
    drastic_loss: float = Field(0.2, gt=0, lt=1, description="F1 lost at once that is drastic.")
    drastic_effect: float = Field(
        2.0, gt=0, description="Without labels: sudden drift of embeddings or predictions that is, in deviations."
    )
    policies: Annotated[tuple[Policy, ...], Field(strict=False), AfterValidator(_distinct)] = Field(
        DEFAULT_POLICIES,
        description="What to decide, of each source by the first row whose conditions all hold; docs/how-to/decide.md.",
    )
    start: str = Field("", description="Weights that full training begins with; empty: the first champion's.")
    incremental: dict[str, Any] = Field(
        INCREMENTAL,
        description="Ultralytics' train arguments; these hold where others are given; epochs by the size of the data.",
    )
    blend: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the trained weights in an incremental version; the rest is the champion's.",
    )
    full: dict[str, Any] = Field(FULL, description="The same for training on everything.")
