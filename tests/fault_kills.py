"""Kills of commands at random instants: before a change of disk or history, or at any time, alone or with children."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from tests.fault_world import Line, Step, Undisturbed
from tests.forked_commands import KILLED, Ended

TRIES = 8  # of an instant in time: a command that was faster than before has ended by then


@dataclass(frozen=True)
class Instant:
    """When a command is killed."""

    change: int = 0  # before this one, from 1; 0: by time
    share: float = 0.0  # of the time it took undisturbed
    family: bool = False  # its children too, at once; else they are left behind

    def __str__(self) -> str:
        whose = " with its children" if self.family else ""
        return f"before change {self.change}" if self.change else f"at {self.share:.2f} of its time{whose}"


@dataclass(frozen=True)
class Killed:
    """A kill and what came of it."""

    step: Step
    instant: Instant
    wrong: list[str]  # what is not as ever once the command was repeated


def instants(chance: random.Random, count: int, changes: int) -> Iterator[Instant]:
    """`count` instants: of each two, one before a change and one in time, one in each of as many stretches."""
    halves = (count + 1) // 2, count // 2
    for number in range(halves[0]):
        yield Instant(change=1 + int(changes * (number + chance.random()) / halves[0]))
    for number in range(halves[1]):
        yield Instant(share=(number + chance.random()) / halves[1], family=chance.random() < 0.5)


def kill(line: Line, as_ever: Undisturbed, instant: Instant) -> Killed:
    """Kill a step at an instant, repeat it, and compare. Raises AssertionError where it could not be killed."""
    for _ in range(TRIES):
        ended, wrong = line.disturbed(as_ever, partial(_killed, line, as_ever.ended.seconds, instant))
        if ended.code == KILLED:
            return Killed(as_ever.step, instant, wrong)
        instant = replace(instant, change=max(instant.change - 1, 0), share=0.6 * instant.share)
    raise AssertionError(f"{as_ever.step.name} ended with {ended.code} before it could be killed: {ended.words}")


def _killed(line: Line, usual_s: float, instant: Instant, step: Step) -> Ended:
    order = step.order(line.folder, kill_before=instant.change)
    at_last = 2 * usual_s + 5 if step.repeat else None  # of a command that stays
    return line.commands.run(order, at_last if instant.change else instant.share * usual_s, family=instant.family)
