"""The templates for people: every one is well formed, small, and has an example that answers all it asks."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from cvkit.storage import packaged

FOLDER = packaged("templates")
NAMES = (
    "project-overview", "data-sheet", "data-preparation", "training-record", "evaluation-report", "deployment-record",
    "monitoring-plan", "incident-report", "retraining-review", "model-retirement", "post-market-monitoring",
    "model-card",
)  # fmt: skip
FACTS = {
    "overview", "architecture", "data", "training", "evaluation", "slices", "performance", "drift", "alerts",
    "decisions", "versions", "deployment", "sources", "monitoring", "labels", "test-set",
}  # fmt: skip
FRONT_MATTER = "<!-- front matter -->"
EXAMPLE_FACTS = "> (facts, filled in by cvkit)"
ELEMENTS = (
    "Project Overview", "Model Architecture", "Data Preparation", "Training Process", "Evaluation Metrics",
    "Deployment Steps", "Monitoring and Maintenance Procedure",
)  # fmt: skip
HUB_HEADINGS = (
    "## Model Details", "### Model Description", "## Uses", "### Direct Use", "### Out-of-Scope Use",
    "## Bias, Risks, and Limitations", "### Recommendations", "## How to Get Started with the Model",
    "## Training Details", "### Training Data", "### Training Procedure", "#### Training Hyperparameters",
    "## Evaluation", "### Testing Data, Factors & Metrics", "#### Testing Data", "#### Factors", "### Results",
    "## Technical Specifications", "### Model Architecture and Objective", "## Model Card Contact",
)  # fmt: skip
MARKER = re.compile(r"<!-- (/?)(facts|people|guide)(?:: (.*?))? -->")

PATHS = [folder / f"{name}.md" for folder in (FOLDER, FOLDER / "examples") for name in NAMES]


def identity(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def blocks(path: Path) -> list[str]:
    """The paragraphs of a file: what stands between blank lines."""
    return re.split(r"\n{2,}", path.read_text(encoding="utf-8").strip("\n"))


def headings(path: Path) -> list[str]:
    return [block for block in blocks(path) if block.startswith("#")]


def people(path: Path) -> dict[str, list[str]]:
    """What stands in each block of people's words; fails where its marks are not in pairs or a name comes twice."""
    found: dict[str, list[str]] = {}
    name = None
    for block in blocks(path):
        if block.startswith("<!-- people: "):
            assert name is None, f"{block} in another one"
            name = block.removeprefix("<!-- people: ").removesuffix(" -->")
            assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name), name
            assert name not in found, f"{name} comes twice"
            found[name] = []
        elif block == "<!-- /people -->":
            assert name is not None, "an end without a beginning"
            name = None
        elif name is not None:
            found[name].append(block)
    assert name is None, f"{name} has no end"
    return found


def facts(path: Path) -> list[str]:
    return [block[len("<!-- facts: ") : -len(" -->")] for block in blocks(path) if block.startswith("<!-- facts: ")]


def test_there_are_these_and_no_others() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(NAMES)
    assert {path.stem for path in (FOLDER / "examples").glob("*.md")} == set(NAMES)


@pytest.mark.parametrize("path", PATHS, ids=identity)
def test_it_begins_with_a_title_and_one_sentence_and_is_small(path: Path) -> None:
    found = blocks(path)
    if path.stem == "model-card":
        assert found.pop(0) == FRONT_MATTER
    assert re.fullmatch(r"# [A-Z].+", found[0])
    assert [block for block in found if block.startswith("# ")] == found[:1]
    sentence = found[1].replace("\n", " ")
    assert re.fullmatch(r"[A-Z][^.]+(fills it in|begins it)[^.]+(reads? it|by it)\b[^.]*\.", sentence), sentence
    assert path.stat().st_size <= 12_000
    assert all(len(line) <= 120 or line.startswith("<!-- guide: ") for line in path.read_text("utf-8").split("\n"))


@pytest.mark.parametrize("path", PATHS, ids=identity)
def test_marks_stand_alone_and_every_section_holds_something(path: Path) -> None:
    for block in blocks(path):
        if "<!--" in block and block != FRONT_MATTER:
            assert MARKER.fullmatch(block), block
    held = re.split(r"^## .+$", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert held
    assert all("<!-- people: " in part or "<!-- facts: " in part or EXAMPLE_FACTS in part for part in held)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_asks_guides_and_names_only_known_facts(name: str) -> None:
    path = FOLDER / f"{name}.md"
    asked = people(path)
    assert 5 <= len(asked) <= 12
    for what, body in asked.items():
        assert len(body) == 2, what
        assert body[0].startswith("<!-- guide: "), what
        assert body[1] == "To do", what
    named = facts(path)
    assert set(named) <= FACTS
    assert len(named) == len(set(named))
    found = blocks(path)
    for before, block in pairwise(found):
        if block.startswith("<!-- people: "):  # the question stands right above
            assert re.fullmatch(r"\*[^*]+\?\*|\*[^*]+[.]\*", before) or before.startswith("#"), block


@pytest.mark.parametrize("name", NAMES)
def test_its_example_answers_all_of_it(name: str) -> None:
    template, example = FOLDER / f"{name}.md", FOLDER / "examples" / f"{name}.md"
    assert headings(example) == headings(template)
    answers = people(example)
    assert list(answers) == list(people(template))
    text = example.read_text("utf-8")
    assert all(len(" ".join(body)) > 60 for body in answers.values())
    assert "to do" not in " ".join(block for body in answers.values() for block in body).lower()
    assert text.count("example figures") == 1
    assert text.count(EXAMPLE_FACTS) == len(facts(template))
    assert not facts(example)


def test_the_card_has_the_seven_elements_under_the_hubs_headings() -> None:
    path = FOLDER / "model-card.md"
    text = path.read_text("utf-8")
    assert all(f"| {element} |" in text for element in ELEMENTS)
    found = headings(path)
    assert [one for one in found if one in HUB_HEADINGS] == list(HUB_HEADINGS)
    assert {"### Ethical Considerations", "## Change Log", "## Monitoring and Maintenance Procedure"} <= set(found)
    assert set(facts(path)) == FACTS


def test_the_guide_to_them_names_every_one() -> None:
    page = FOLDER.parents[1] / "docs" / "how-to" / "documents.md"
    text = page.read_text("utf-8")
    assert re.findall(r"^\| `([a-z-]+)`", text, flags=re.MULTILINE) == list(NAMES)
    assert len(text.splitlines()) < 120
