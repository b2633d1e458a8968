"""Procedures: each has the parts of the form, and every command that it tells somebody to type works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from channel_servers import web
from test_flow import SETTINGS, take
from test_performance import label
from versions_world import judged, made_up

from cvkit import cli, errors, workspace
from cvkit.config import load_config
from cvkit.demo import CHECKPOINT
from cvkit.maintenance import versions
from cvkit.monitoring import causes, pages
from cvkit.monitoring.history import History
from cvkit.storage import packaged
from cvkit.upkeep import file_checks

DOCS = packaged("skeleton") / "docs"
ROOT = Path(__file__).parents[1]
PROCEDURES = sorted(path for path in (DOCS / "procedures").glob("*.md") if path.stem != "index")
PARTS = ["First", "Find out", "Do", "Done when", "If it does not help"]
WANTED = {
    "drift-alarm", "performance-drop", "data-quality-failure", "camera-fault", "anomaly-wave", "missed-run",
    "label-backlog", "alert-configuration", "thresholds-and-budget", "incremental-retraining", "full-retraining",
    "promotion-and-rollback", "adding-a-camera", "adding-a-model", "change-of-reference", "upgrade-of-cvkit",
    "backup-and-restore",
}  # fmt: skip
DAY = "2026-09-07"
KNOWN = {"ALERT": "bad-images@cam-1", "CAMERA": "cam-1", "DAY": DAY}  # VERSION is known once there is one

# Commands that begin so are parsed only, by cvkit's own parser, or held against the program's `--help`: why.
ONLY_PARSED = {
    "cvkit run --window DAY --notebook": "half a minute a report; tests/test_demo.py writes all of them",
    "cvkit retrain --kind": "trains; tests/test_rounds.py",
    "cvkit retrain prepare": "takes an old data set; tests/test_retraining_data.py",
    "cvkit retrain run": "trains; tests/test_training.py",
    "cvkit retrain gate": "both models look at a frozen test set; tests/test_gate.py",
    "cvkit retrain shadow": "the model looks at images; tests/test_versions_model.py",
    "cvkit run --config ../new-model": "the model looks at images; tests/test_cli.py and others",
    "cvkit site": "executed by the last test here, which looks at what it builds",
    "uv pip install": "would change the environment that tests run in",
    "pg_dump": "takes a server, tests/test_postgresql.py has one; SQLite's way is executed",
}
# Commands of some seconds, and the pages that they are executed on; on others they do the same.
SLOW: dict[str, tuple[str, ...]] = {
    "cvkit run": (),  # the world is made with it
    "cvkit run --window DAY": ("promotion-and-rollback",),
    "cvkit reference --rebuild": ("change-of-reference",),
}
GOOD = {errors.DONE}


def blocks(page: Path) -> list[str]:
    """The command lines of a page, in its order."""
    found = re.findall(r"^( *)```console\n(.*?)^\1```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [line.strip() for _, block in found for line in block.splitlines() if line.strip()]


COMMANDS = [line for page in PROCEDURES for line in blocks(page)]


def why_parsed(line: str) -> str:
    return next((why for start, why in ONLY_PARSED.items() if line.startswith(start)), "")


def filled(line: str, known: dict[str, str]) -> str:
    return re.sub("|".join(known), lambda found: known[found[0]], line)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two cameras, a labelled reference, a day in the dark, a version that challenges and passed, a channel."""
    folder = tmp_path_factory.mktemp("duty") / "line"
    for camera in ("cam-1", "cam-2"):
        for day in [f"2026-09-0{number}" for number in (5, 6)]:
            take(folder, camera, day, n=16)
            label(folder, camera, day)
        take(folder, camera, DAY, n=20, dark=0.5 if camera == "cam-1" else 1)
    workspace.copy_missing(packaged("skeleton"), folder)
    (folder / "new").mkdir()
    shutil.copyfile(CHECKPOINT, folder / "new" / "best.pt")
    (folder / "new" / "data.yaml").write_text("train: .\nval: .\nnames: [washer, nut, bolt]\n")
    with web(lambda asked: (200, {}, b"ok")) as server:
        text = SETTINGS.replace("captures:\n", 'captures:\n  labels: "labels/{source}/{date}/*.txt"\n')
        model = "{name: test, weights: best.pt, classes: [washer, nut, bolt], embeddings: false, estimate_images: 0}"
        text = text.replace("{name: test, classes: [nut, bolt]}", model)
        channel = f"alerts: {{channels: [{{name: ops, kind: webhook, url: '{server.url}'}}]}}\n"
        (folder / "cvkit.yml").write_text(text + channel)
        config = load_config(folder)
        first = made_up(config, "first", kind="adopted")  # files say what it predicts: nothing looks into its weights
        shutil.copyfile(first.weights, folder / "best.pt")
        judged(made_up(config, "second"), first.name)
        assert cli.main(["run", "--config", str(folder)]) == errors.DONE
        yield folder


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that world, in which the commands are typed."""
    folder = tmp_path / "line"
    shutil.copytree(world, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(file_checks, "room_at", lambda folder: (1 << 40, 1 << 39, 0, 0))  # whatever disk tests run on
    return folder


def known(folder: Path) -> dict[str, str]:
    config = load_config(folder)
    champion = versions.champion(config).name
    return {**KNOWN, "VERSION": next(one.name for one in versions.every(config) if one.name != champion)}


def _add_a_channel(folder: Path) -> None:
    channels = load_config(folder).alerts.channels[0].model_dump_json(include={"name", "kind", "url"})
    settings = folder.with_name("new-model") / "cvkit.yml"
    settings.write_text(settings.read_text().replace("channels: []", f"channels: [{channels}]"))


# What people do between two commands, before the command that begins so.
BY_HAND: dict[str, Callable[[Path], object]] = {
    "cp to-label/plan.csv": lambda folder: shutil.copytree(folder / "to-label", folder / "labelled"),
    "cvkit alerts test --config ../new-model": _add_a_channel,
}


def typed(line: str) -> int:
    """Exit code of one command line."""
    words = shlex.split(line)
    if words[0] != "cvkit":
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or not shutil.which(words[0]), f"{line}: {done.stdout}{done.stderr}"
        return 0
    try:
        return cli.main(words[1:])
    except SystemExit as ended:  # as argparse does, for `--version` too
        return int(ended.code or 0)


def parsed(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "cvkit":
        cli._parser().parse_args(words[1:])
        return
    if not shutil.which(words[0]):
        return
    program = [words[0], *(words[1:3] if words[0] == "uv" else [])]
    told = subprocess.run([*program, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in told, line


@pytest.mark.parametrize("page", PROCEDURES, ids=lambda page: page.stem)
def test_every_command_works(page: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = known(here)
    for line in blocks(page):
        command = filled(line, words)
        if why_parsed(line):
            parsed(command)
            continue
        if page.stem not in SLOW.get(line, (page.stem,)):
            continue
        for start, act in BY_HAND.items():
            if line.startswith(start):
                act(here)
        code = typed(command)
        told = capsys.readouterr()
        assert code in GOOD, f"{command}: {code}\n{told.out}{told.err}"


def test_what_is_only_parsed_is_told_and_still_there() -> None:
    assert [start for start in ONLY_PARSED if not any(line.startswith(start) for line in COMMANDS)] == []
    executed = {page.stem: blocks(page) for page in PROCEDURES}
    assert [line for line, on in SLOW.items() if any(line not in executed[page] for page in on)] == []


def test_commands_hold_only_words_that_are_explained() -> None:
    index = (DOCS / "procedures" / "index.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([A-Z]+) \|", index, flags=re.M))
    assert explained == {*KNOWN, "VERSION"}
    shown = {word for line in COMMANDS for word in re.findall(r"\b[A-Z]{3,}\b", line)}
    assert shown <= explained


def test_all_procedures_are_there_and_the_index_leads_to_each() -> None:
    assert {page.stem for page in PROCEDURES} == WANTED
    for index in (DOCS / "procedures" / "index.md", ROOT / "docs" / "how-to" / "procedures.md"):
        text = index.read_text(encoding="utf-8")
        assert [name for name in WANTED if f"{name}.md" not in text] == [], index


@pytest.mark.parametrize("page", PROCEDURES, ids=lambda page: page.stem)
def test_a_procedure_has_every_part_of_the_form(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    title, *parts = re.split(r"^## ", text, flags=re.M)
    assert re.match(r"# .+\n\n- \*\*When:\*\* .+\n(  .+\n)*- \*\*Who:\*\* .+\n(  .+\n)*- \*\*How long:\*\* .+\n", title)
    assert [part.partition("\n")[0] for part in parts] == PARTS
    assert all(part.partition("\n")[2].strip() for part in parts)
    assert re.search(r"^1\. ", parts[1], flags=re.M), "what to find out is numbered"
    assert parts[-1].endswith("\nTo do: name and number\n")
    assert text.count("\n") <= 70
    assert "```console" in parts[0]


def test_every_likely_cause_leads_to_a_procedure() -> None:
    every = (*causes.ADVICE, causes.NOT_MEASURED[0], causes.NOT_JUDGED[0], causes.OWN_LIMIT[0])
    sections = re.split(r"^## .*\{#([a-z-]+)\}$", (DOCS / "runbook.md").read_text(encoding="utf-8"), flags=re.M)
    bodies = dict(zip(sections[1::2], sections[2::2], strict=True))
    for cause in every:
        led = re.findall(r"^- \*\*Step by step:\*\* \[.+\]\((.+)\)$", bodies[causes.advice(cause)[1]], flags=re.M)
        assert [(DOCS / page).is_file() for page in led] == [True], cause


def test_a_workspace_of_an_older_cvkit_has_them_on_its_site_and_words_of_its_own_stay(here: Path) -> None:
    config = load_config(here)
    shutil.rmtree(here / "docs" / "procedures")
    (here / "docs" / "procedures").mkdir()
    (here / "docs" / "procedures" / "camera-fault.md").write_text("# Ours\n\nCall Ann.\n")
    assert pages.runbook(config, "procedures/camera-fault.md") == f"{here}/docs/procedures/camera-fault.md"
    assert Path(pages.runbook(config, "procedures/drift-alarm.md")) == DOCS / "procedures" / "drift-alarm.md"
    assert cli.main(["site", "build", "--strict"]) == errors.DONE  # every link leads somewhere
    built = here / "site"
    assert {page.parent.name for page in (built / "procedures").glob("*/index.html")} == WANTED
    assert "Call Ann" in (built / "procedures" / "camera-fault" / "index.html").read_text(encoding="utf-8")
    for page in (page for page in PROCEDURES if page.stem != "camera-fault"):
        html = (built / "procedures" / page.stem / "index.html").read_text(encoding="utf-8")
        assert html.count("<pre>") == page.read_text(encoding="utf-8").count("```console"), page.stem
    for anchor in re.findall(r'href="(\.\./procedures/[a-z-]+/)"', (built / "runbook" / "index.html").read_text()):
        assert (built / "runbook" / anchor / "index.html").is_file()
    with History.open(config.history_url) as history:
        assert len(history.verdicts(model="test"))
