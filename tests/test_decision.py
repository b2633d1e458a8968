"""Decisions: the written grid of situations, purity, and no to and fro."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from decision_world import (
    DRIFT,
    HARM,
    HISTORY,
    LABELS,
    NOW,
    SETTINGS,
    days,
    evidence,
    refused,
    settings,
    source,
    update,
)

from cvkit.config import parse_config
from cvkit.config.retraining import ACTIONS, DEFAULT_POLICIES, Policy, RetrainingSettings
from cvkit.maintenance.decision import CONDITIONS, UPDATES, Decision, decide
from cvkit.maintenance.facts import Evidence
from cvkit.stats.quality.decay import Decay

KEEP, REPAIR, LABEL, RECALIBRATE, INCREMENTAL, FULL, BACK = ACTIONS

# What drifts, the harm, the labels since, and what happened before: what a person who knows the trade would do.
GRID = [
    # Nothing is wrong.
    ("none", "none by labels", "no", "", KEEP),
    ("none", "none by labels", "enough", "", KEEP),
    ("none", "unknown", "no", "", KEEP),
    ("none", "none by estimate", "no", "", KEEP),
    ("none", "labels undecided", "few", "", KEEP),
    ("none", "none by labels", "enough", "updated long ago", KEEP),
    # Drift that does no harm.
    ("look, bit by bit", "none by labels", "enough", "", KEEP),
    ("look, at once", "none by labels", "few", "", KEEP),
    ("view, at once, large", "none by labels", "enough", "", KEEP),
    ("mix, at once", "none by labels", "enough", "", KEEP),
    ("look, bit by bit", "none by estimate", "no", "", KEEP),
    # Drift of which nobody knows what it does.
    ("look, bit by bit", "unknown", "no", "", LABEL),
    ("look, at once", "labels undecided", "few", "", LABEL),
    ("view, at once, large", "unknown", "no", "", LABEL),
    ("mix, bit by bit", "unknown", "no", "", LABEL),
    ("view, bit by bit", "labels undecided", "enough", "", LABEL),
    # Harm is likely.
    ("view, bit by bit", "likely by estimate", "no", "", LABEL),
    ("view, at once, large", "likely by estimate", "few", "", LABEL),
    ("view, bit by bit", "likely by labels", "enough", "", INCREMENTAL),
    ("view, at once, small", "likely by labels", "enough", "", INCREMENTAL),
    ("view, at once, large", "likely by labels", "enough", "", INCREMENTAL),  # F1 fell by .1 only
    ("view, at once, large", "likely by estimate", "enough", "", FULL),
    ("view, large, too early", "likely by estimate", "enough", "", INCREMENTAL),
    ("none", "likely by estimate", "no", "", LABEL),
    # Harm is shown.
    ("look, bit by bit", "shown, bit by bit", "enough", "", INCREMENTAL),
    ("look, bit by bit", "shown, bit by bit", "few", "", LABEL),
    ("look, bit by bit", "shown, bit by bit", "no", "", LABEL),
    ("view, at once, large", "shown, at once, large", "enough", "", FULL),
    ("view, at once, large", "shown, at once, large", "few", "", LABEL),
    ("view, at once, small", "shown, at once, small", "enough", "", INCREMENTAL),
    ("none", "shown, at once, large", "enough", "", FULL),
    ("none", "shown, bit by bit", "enough", "", INCREMENTAL),
    ("none", "shown, large, too early", "enough", "", INCREMENTAL),
    ("view, at once, large", "shown, large, too early", "enough", "", FULL),  # the embedding tells the course
    ("mix, bit by bit", "shown, bit by bit", "enough", "", INCREMENTAL),
    # Another confidence would do.
    ("mix, at once", "shown, at once, large", "enough", "threshold helps", RECALIBRATE),
    ("look, bit by bit", "shown, bit by bit", "few", "threshold helps", RECALIBRATE),
    ("look, bit by bit", "shown, bit by bit", "enough", "threshold helps a little", INCREMENTAL),
    ("none", "none by labels", "enough", "threshold helps", KEEP),
    ("look, bit by bit", "shown, bit by bit", "enough", "threshold helps, updated 2 days ago", KEEP),
    # After an update.
    ("look, bit by bit", "shown, bit by bit", "enough", "updated 2 days ago", KEEP),
    ("view, at once, large", "shown, at once, large", "enough", "updated 2 days ago", KEEP),
    ("look, bit by bit", "shown, bit by bit", "few", "updated 2 days ago", LABEL),
    ("none", "shown, at once, large", "enough", "rolled back 2 days ago", KEEP),
    ("none", "shown, at once, large", "enough", "worse since the update 13 days ago", BACK),
    ("none", "shown, bit by bit", "few", "worse since the update 13 days ago", BACK),
    ("view, at once, large", "shown, at once, large", "no", "worse since the update 13 days ago", BACK),
    ("none", "shown, at once, large", "enough", "worse since, before unknown", FULL),
    ("none", "shown, at once, large", "enough", "worse since, before as bad", FULL),
    ("none", "shown, at once, large", "enough", "worse since the way back", FULL),
    ("none", "shown, at once, large", "enough", "worse since, and the picture changed", FULL),
    ("none", "shown, at once, large", "enough", "worse long after the update", FULL),
    ("none", "none by labels", "enough", "worse since the update 13 days ago", KEEP),
    # What was tried.
    ("look, bit by bit", "shown, bit by bit", "enough", "incremental refused", FULL),
    ("look, bit by bit", "shown, bit by bit", "enough", "incremental refused before the change", INCREMENTAL),
    ("look, bit by bit", "shown, bit by bit", "enough", "both refused", LABEL),
    ("view, at once, large", "shown, at once, large", "enough", "both refused", LABEL),
    # The calendar.
    ("none", "none by labels", "enough", "calendar, due", FULL),
    ("none", "unknown", "enough", "calendar, due, never updated", FULL),
    ("none", "none by labels", "few", "calendar, due", LABEL),
    ("none", "none by labels", "no", "calendar, due", LABEL),
    ("none", "none by labels", "enough", "calendar, not due", KEEP),
    ("look, bit by bit", "shown, bit by bit", "enough", "calendar, due", INCREMENTAL),
    # The data.
    ("none", "none by labels", "enough", "frozen", REPAIR),
    ("look, bit by bit", "shown, bit by bit", "enough", "frozen", REPAIR),
    ("none", "unknown", "no", "silent", REPAIR),
    ("none", "none by labels", "enough", "a few damaged", REPAIR),
    ("look, bit by bit", "shown, bit by bit", "enough", "a few damaged", INCREMENTAL),
    ("look, bit by bit", "unknown", "no", "a few damaged", LABEL),
    ("none", "unknown", "no", "new camera", LABEL),
    ("none", "none by labels", "enough", "new camera", KEEP),
    ("none", "shown, at once, large", "enough", "new class", LABEL),
    ("none", "none by labels", "enough", "new class", KEEP),
    ("none", "shown, at once, large", "enough", "new class, frozen", REPAIR),
    ("none", "unknown", "no", "odd images", LABEL),
    ("none", "none by labels", "few", "odd images", KEEP),
]


def decided(drift: str, harm: str, labels: str, history: str = "") -> Decision:
    return decide(evidence(source(drift, harm, labels, history), history=history), settings(history))


@pytest.mark.parametrize(("drift", "harm", "labels", "history", "action"), GRID)
def test_the_grid(drift: str, harm: str, labels: str, history: str, action: str) -> None:
    made = decided(drift, harm, labels, history)
    assert made.action == action, made


def test_the_grid_is_large_and_says_nothing_twice() -> None:
    assert len({row[:4] for row in GRID}) == len(GRID) >= 40
    assert {row[4] for row in GRID} == set(ACTIONS)
    assert {row[0] for row in GRID} == set(DRIFT)
    assert {row[1] for row in GRID} == set(HARM)
    assert {row[3] for row in GRID} == set(HISTORY)


EVERYTHING = [evidence(source(*row), history=row[3]) for row in [*product(DRIFT, HARM, LABELS, HISTORY)][::7]]


def test_every_situation_has_a_decision_that_explains_itself() -> None:
    """Over all combinations, sensible or not: an action with words, every other row of the table with its reason."""
    for facts in EVERYTHING:
        made = decide(facts, SETTINGS)
        assert made.action in ACTIONS
        assert made.why
        assert len(made.considered) == len(SETTINGS.policies) - 1
        names = [policy.name for policy in SETTINGS.policies]
        above = made.considered[: names.index(made.policy)]
        assert all(one.failed for one in above), made
        assert all(words.split(" (")[0] in ACTIONS and " if " in words for words in made.would_change)


def test_laws_that_no_situation_breaks() -> None:
    for facts in EVERYTHING:
        made, (only,) = decide(facts, SETTINGS), facts.sources
        if made.action.startswith("retrain"):
            assert only.labelled >= SETTINGS.minimum_labels
            assert not any(fault.state == "critical" for fault in only.faults)
            assert facts.update is None or NOW - facts.update.at >= timedelta(days=7)
        if made.action == BACK:
            assert facts.update is not None
            assert not facts.update.back
            assert only.f1.value < only.before.value
        if not only.images:
            assert made.action == REPAIR


def test_the_same_evidence_gives_the_same_decision() -> None:
    for facts in EVERYTHING[::11]:
        assert decide(facts, SETTINGS) == decide(facts, SETTINGS)
    parts = [source("none", "none by labels", "few", name="a"), source(*GRID[24][:3], name="b")]
    both = decide(evidence(*parts), SETTINGS)
    turned = decide(evidence(*reversed(parts)), SETTINGS)
    assert (both.action, both.source, both.why) == (turned.action, turned.source, turned.why) == (
        INCREMENTAL, "b", both.why,
    )  # fmt: skip


def test_the_id_names_the_facts_and_neither_the_hour_nor_what_was_decided() -> None:
    facts = evidence(source(*GRID[24][:3]))
    assert facts.id == replace(facts, now=days(-1), decided=FULL, decided_since=NOW).id
    assert facts.id != replace(facts, version="other").id
    assert facts.id != evidence(source("none", "none by labels", "few")).id


# -- several sources ------------------------------------------------------------------------------------------------


def test_a_broken_camera_does_not_keep_another_from_a_training() -> None:
    broken, worse = source("none", "unknown", "no", "frozen", "a"), source(*GRID[24][:3], name="b")
    made = decide(evidence(broken, worse, source("none", "none by labels", "no", name="c")), SETTINGS)
    assert (made.action, made.source) == (INCREMENTAL, "b")
    assert [(step.source, step.action) for step in made.also] == [("a", REPAIR)]


def test_harmed_cameras_share_their_labels_and_others_do_not() -> None:
    few = [source("none", "shown, bit by bit", "few", name=name) for name in "abc"]
    assert decide(evidence(*few), SETTINGS).action == INCREMENTAL  # 60 of 50
    well = source("none", "none by labels", "enough", name="w")
    assert decide(evidence(few[0], well), SETTINGS).action == LABEL
    unusable = source("none", "shown, at once, large", "enough", "new class", name="n")
    assert decide(evidence(few[0], unusable), SETTINGS).action == LABEL


def test_no_source_is_kept_and_said_so() -> None:
    made = decide(evidence(history="updated 2 days ago", window=None), SETTINGS)
    assert (made.action, made.source) == (KEEP, "")
    assert "has measured no window since it came into use" in made.why
    assert made.policy == "not-measured"


# -- what would change it -------------------------------------------------------------------------------------------


def test_what_would_change_it_does() -> None:
    """Each way out is tried: the facts are changed so, and the decision is the one that was foretold."""
    made = decided("look, bit by bit", "shown, bit by bit", "few")
    assert made.action == LABEL
    assert any(
        w.startswith("retrain incrementally (drift), if labels are enough; now few: 20") for w in made.would_change
    )
    assert any("30 more are needed" in words for words in made.would_change)
    assert decided("look, bit by bit", "shown, bit by bit", "enough").policy == "drift"
    assert any(
        words.startswith("recalibrate (threshold), if another confidence restored F1") for words in made.would_change
    )
    assert decided("look, bit by bit", "shown, bit by bit", "few", "threshold helps").policy == "threshold"
    assert any(
        words.startswith("keep (healthy), if harm is none") or "harm is none" in words for words in made.would_change
    )


def test_the_cooldown_names_its_end() -> None:
    made = decided("look, bit by bit", "shown, bit by bit", "enough", "updated 2 days ago")
    assert made.policy == "wait"
    assert any("retrain incrementally (drift), if" in words and "2026-11-26" in words for words in made.would_change)


def test_measurements_are_those_of_the_row_that_decided() -> None:
    made = decided("look, bit by bit", "shown, bit by bit", "enough")
    assert set(made.measurements) == {
        "2026-11-20/cam-1/drift:f1", "2026-11-20/cam-1/performance.f1", "2026-11-20/cam-1/performance.coverage",
    }  # fmt: skip


# -- the table is the user's ----------------------------------------------------------------------------------------


def test_a_table_of_ones_own() -> None:
    only = RetrainingSettings(policies=(Policy(name="mix", changed=("class mix",), action="recalibrate"),))
    assert decide(evidence(source("mix, at once", "unknown", "no")), only).action == RECALIBRATE
    other = decide(evidence(source("view, bit by bit", "unknown", "no")), only)
    assert (other.action, other.policy) == (KEEP, "no-policy")
    assert decide(evidence(source("none", "unknown", "no")), only).action == KEEP  # nothing changed: not the mix either


def test_no_table_takes_the_cooldown_away() -> None:
    eager = RetrainingSettings(policies=(Policy(name="always", action="retrain fully"),))
    facts = evidence(source("none", "none by labels", "enough"), history="updated 2 days ago")
    assert decide(facts, eager).action == KEEP
    told = RetrainingSettings(policies=(Policy(name="always", action="retrain fully", cooldown=False),))
    assert decide(facts, told).action == KEEP


# -- over time ------------------------------------------------------------------------------------------------------


def test_what_was_decided_stands_until_it_is_done_or_over() -> None:
    worse = source("look, bit by bit", "shown, bit by bit", "enough")
    large = source("view, at once, large", "shown, at once, large", "enough")
    unsure = source("look, bit by bit", "labels undecided", "enough")
    was = {"decided": INCREMENTAL, "decided_since": days(3)}
    assert decide(evidence(unsure, **was), SETTINGS).action == INCREMENTAL
    assert decide(evidence(unsure, **was), SETTINGS).policy == "stands"
    assert decide(evidence(unsure, decided=INCREMENTAL, decided_since=days(8)), SETTINGS).action == LABEL
    assert decide(evidence(large, **was), SETTINGS).action == FULL  # it got worse
    assert decide(evidence(worse, decided=FULL, decided_since=days(3)), SETTINGS).action == FULL  # and never back
    assert decide(evidence(source(*GRID[0][:3]), **was), SETTINGS).action == KEEP  # it is over
    done = evidence(unsure, **was, **refused("incremental", ago=1))
    assert decide(done, SETTINGS).action == LABEL  # it was done, and refused
    bad = source("none", "shown, at once, large", "enough", "worse since the update 13 days ago")
    assert decide(evidence(bad, **was, **update(13)), SETTINGS).action == BACK


class World:
    """Days of a model whose signals stand at the edge, and a team that does what is decided, sometimes."""

    def __init__(self, seed: int, obeys: float) -> None:
        self.random, self.obeys = np.random.default_rng(seed), obeys
        self.update: dict[str, object] = {}
        self.decided: tuple[str, object] = ("", None)
        self.made: list[tuple[int, str, bool]] = []  # day, action, carried out

    def day(self, number: int) -> None:
        now = NOW + timedelta(days=number)
        drift, harm, history = (self.random.choice(words) for words in (
            ["look, bit by bit", "view, at once, large", "view, at once, small", "view, large, too early"],
            ["shown, bit by bit", "shown, at once, large", "labels undecided", "likely by labels", "unknown"],
            ["", "threshold helps", "threshold helps a little", "worse since the update 13 days ago"],
        ))  # fmt: skip
        facts: Evidence = evidence(source(drift, harm, "enough", history), now=now, **self.update)  # type: ignore[arg-type]
        facts = replace(facts, decided=self.decided[0], decided_since=self.decided[1])  # type: ignore[arg-type]
        action = decide(facts, SETTINGS).action
        if action != self.decided[0]:
            self.decided = (action, now)
        carried = action in UPDATES and bool(self.random.random() < self.obeys)
        self.made.append((number, action, carried))
        if carried and action != RECALIBRATE:
            self.update = {"update": replace(update(0, back=action == BACK)["update"], at=now)}
            self.decided = ("", None)  # another version


@pytest.mark.parametrize("obeys", [0.0, 0.1, 0.5, 1.0])
def test_it_does_not_oscillate(obeys: float) -> None:
    for seed in range(5):
        world = World(seed, obeys)
        for number in range(90):
            world.day(number)
        updates = [(day, action) for day, action, carried in world.made if carried and action != RECALIBRATE]
        assert all(later - day >= 7 for (day, _), (later, action) in pairwise(updates) if action != BACK)
        backs = [action == BACK for _, action in updates]
        assert not any(one and other for one, other in pairwise(backs)), "a way back, and back again"
        for (day, action, carried), (_, following, _) in pairwise(world.made):
            if action in UPDATES and following != action and not carried:
                since = next(d for d, a, c in reversed(world.made[: day + 1]) if d == 0 or world.made[d - 1][1] != a)
                later = ACTIONS.index(following) > ACTIONS.index(action) and following in (FULL, BACK)
                assert later or day + 1 - since >= 7, (seed, day, action, following)


# -- how often ------------------------------------------------------------------------------------------------------


def test_the_rhythm_is_that_of_the_source_that_falls_fastest() -> None:
    slow = replace(source(*GRID[0][:3], name="slow"), decay=Decay(-0.001, -0.002, -0.0005, 20))
    fast = replace(source(*GRID[0][:3], name="fast"), decay=Decay(-0.002, -0.004, -0.001, 20))
    unsure = replace(source(*GRID[0][:3], name="unsure"), decay=Decay(-0.1, -0.3, 0.1, 20))
    rhythm = decide(evidence(slow, fast, unsure), SETTINGS).rhythm
    assert (rhythm.source, rhythm.retrain_days, rhythm.soonest, rhythm.latest) == ("fast", 10.0, 5.0, 20.0)
    assert rhythm.evaluate_days == 2.5
    nothing = decide(evidence(unsure), SETTINGS).rhythm
    assert math.isnan(nothing.retrain_days)
    assert math.isnan(nothing.evaluate_days)


# -- the page -------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "decide.md").read_text(encoding="utf-8")


def test_the_page_shows_the_default_table() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert [(name, action) for name, _, action in rows] == [(one.name, one.action) for one in DEFAULT_POLICIES]
    for (_, conditions, _), policy in zip(rows, DEFAULT_POLICIES, strict=True):
        asked = policy.model_dump(exclude_defaults=True, exclude={"name", "action", "why"})
        words = [
            name.replace("_", " ") if value is True else f"{name} {' or '.join(value)}" for name, value in asked.items()
        ]
        assert conditions == (", ".join(words) or "none")


def test_the_table_of_the_page_can_be_used(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    config = parse_config(f"reference: {{data: data.yaml}}\n{text}", tmp_path / "cvkit.yml")
    mix = decide(evidence(source("mix, at once", "likely by labels", "no")), config.retraining)
    assert (mix.action, mix.policy) == (RECALIBRATE, "only-the-mix")


def test_every_action_and_condition_has_its_place_on_the_page() -> None:
    assert not [action for action in ACTIONS if f"| {action} |" not in PAGE]
    named = {"new_class": "new class", "odd_images": "odd images", "after_update": "after the update"}
    assert not [name for name in CONDITIONS if f"**{named.get(name, name)}**" not in PAGE]
