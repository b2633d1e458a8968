"""The glossary has every word that people meet in verdicts, alerts, decisions, features and findings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

from cvkit.config.alerts import Severity
from cvkit.config.retraining import ACTIONS
from cvkit.monitoring.alert_store import State
from cvkit.tables import FEATURE_UNITS, FINDING_WORDS, STATES

ROOT = Path(__file__).parents[1]
ROWS = re.findall(
    r"^\| `?(.+?)`? \| (.+?) \|$", (ROOT / "docs" / "reference" / "glossary.md").read_text(), re.MULTILINE
)


def test_every_word_is_in_the_glossary_once() -> None:
    words = [word for word, _ in ROWS if word not in ("word", "---")]
    asked = {*STATES, *get_args(State), *get_args(Severity), *ACTIONS, *FEATURE_UNITS, *FINDING_WORDS}
    assert asked <= set(words), asked - set(words)
    assert len(words) == len(set(words))


def test_every_word_is_said_in_one_or_two_sentences() -> None:
    for word, meaning in ROWS:
        if meaning not in ("meaning", "---"):
            assert meaning[0].isupper() or meaning[0] == "`", word
            assert 1 <= len(re.findall(r"[.:](?: |$)", meaning)) <= 3, word


def test_issue_forms_are_what_github_reads() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["bug", "feature", "question"]
    for form in forms:
        told = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= set(told)
        assert all(one["type"] in ("textarea", "input", "checkboxes") and one["attributes"] for one in told["body"])
