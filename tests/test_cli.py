"""The command line: every command helps, is documented, and answers a mistake with words and a documented code."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import made_up_workspace
import pytest

from cvkit import cli, errors
from cvkit.monitoring import monitor
from cvkit.monitoring.history import History

COMMANDS = ("demo", "init", "run", "schedule", "status", "lab", "backtest", "labels", "reference", "site", "alerts",
            "rules", "retrain", "card", "template", "metrics", "deploy", "images", "backup", "restore", "doctor",
            "schema")  # fmt: skip
PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


def test_the_list_of_commands_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = re.findall(r"^    (\w+)(?:  |$)", capsys.readouterr().out, flags=re.MULTILINE)
    assert tuple(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_and_has_its_place_in_the_docs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--config"}
    assert f"`cvkit {command}" in PAGE
    missing = [option for option in options if option not in PAGE]
    assert not missing, f"docs/reference/commands.md does not mention {missing} of {command}"


def test_every_exit_code_is_documented() -> None:
    codes = {value.exit_code for value in vars(errors).values() if isinstance(value, type)} - {1}
    codes |= {errors.DONE, errors.WINDOWS_FAILED, errors.VERDICT_REACHED, errors.INCOMPLETE, errors.UNSOUND}
    assert not [code for code in codes if f"| {code} |" not in PAGE]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run"], 2, "cvkit init"),
        (["run", "--window", "yesterday"], 2, "not a date"),
        (["run", "--window", "2026-10-01T05:00"], 2, "no window begins"),
        (["run", "--window", "2199-01-01"], 2, "future"),
        (["run", "--window", "9999-12-31"], 2, "no camera"),
        (["run", "--from", "0001-01-01T00:00+14:00"], 2, "no camera"),
        (["run", "--window", "2026-10-01", "--to", "2026-10-02"], 2, "--to needs --from"),
        (["run", "--from", "2026-10-02", "--to", "2026-10-01"], 2, "does not lie after"),
        (["init", "new", "--data", "nowhere.yaml"], 3, "does not exist"),
        (["init", "new", "--data", ".", "--weights", "nowhere.pt"], 3, "does not exist"),
        (["status"], 2, "cvkit init"),
        (["site"], 2, "cvkit init"),
    ],
)
def test_a_mistake_is_answered_in_words(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if {"--window", "--from"} & set(arguments):
        (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    assert cli.main(arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage", "words"),
    [
        (["staus"], "usage: cvkit [", "did you mean status?"),
        (["run", "--windw", "3"], "usage: cvkit run [", "did you mean --window?"),
        (["alerts", "akc", "x"], "usage: cvkit alerts [", "did you mean ack?"),
        (["alerts", "ack", "x", "--why=y", "--bye=z"], "usage: cvkit alerts ack [", "did you mean --by?"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    arguments: list[str], usage: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(usage)
    assert words in said


def test_a_workspace_of_nearly_that_name_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "line-7").mkdir()
    (tmp_path / "line-7" / "cvkit.yml").touch()
    assert cli.main(["status", "--config", str(tmp_path / "lime-7" / "cvkit.yml")]) == 2
    assert "did you mean line-7? else run `cvkit init FOLDER`" in capsys.readouterr().err

    def secret(folder: object) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", secret)
    assert cli.main(["status", "--config", str(tmp_path / "lime-7" / "cvkit.yml")]) == 2
    assert "no settings to read" in capsys.readouterr().err


def test_a_missing_reference_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cvkit.yml").write_text("reference: {data: nowhere.yaml}\n")
    (tmp_path / "captures" / "cam" / "2026-10-01").mkdir(parents=True)
    assert cli.main(["run", "--window", "2026-10-01"]) == 3
    assert "nowhere.yaml" in capsys.readouterr().err


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys, time; from cvkit import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'evidently', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_every_notebook_and_setting_has_its_place_in_the_docs() -> None:
    docs = Path(__file__).parents[1] / "docs" / "reference"
    notebooks = sorted((docs.parents[1] / "notebooks").glob("*.ipynb"))
    assert notebooks
    assert not [file.stem for file in notebooks if f"`{file.stem}`" not in (docs / "notebooks.md").read_text()]
    from cvkit.workspace import commented

    shown = commented({"reference": {"data": "data.yaml"}, "model": {"weights": "best.pt"}})
    assert (docs / "cvkit.yml").read_text() == shown, "docs/reference/cvkit.yml is not what `cvkit init` writes"


def test_no_captures_are_an_error_not_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    assert cli.main(["run"]) == 3
    assert "captures/{source}/{date}" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["run"], ["run", "--due"]])
def test_a_pattern_that_finds_nothing_is_no_nothing_to_do(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = made_up_workspace.make(tmp_path / "line", made_up_workspace.MadeUp(days=monitor.EMPTY_DAYS + 1))
    image = config.workspace / "captures" / "cam-north" / "2026-11-01" / "a.jpg"
    image.parent.mkdir(parents=True)
    image.touch()
    line = [*command, "--config", str(config.path)]
    assert cli.main(line) == 0
    assert "nothing is due" in capsys.readouterr().out
    config.path.write_text(config.path.read_text() + "captures: {images: 'captures/{source}/{date}/*.png'}\n")
    assert cli.main(line) == 3
    told = capsys.readouterr()
    assert "no image matches the pattern\n  where: " in told.err
    assert "captures/{source}/{date}/*.png\n  expected: files that match" in told.err
    assert "has 1 entries, such as 'cam-north'\n  what to do: correct captures.images" in told.err
    assert "every complete window" not in told.out


def test_due_slots_run_though_there_are_no_captures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = "{notebook: 02-drift, cron: '30 6 * * *', attempts: 1}"
    (tmp_path / "cvkit.yml").write_text(f"reference: {{data: data.yaml}}\nschedule: [{job}]\n")
    for told in ("02-drift of", "nothing is due"):
        assert cli.main(["run", "--due", "--config", str(tmp_path)]) == 3
        said = capsys.readouterr()
        assert told in said.out
        assert "no image matches the pattern" in said.err
    with History.open(f"sqlite:///{tmp_path}/history.db") as history:
        assert history.slots()[["status", "attempts"]].to_numpy().tolist() == [["failed", 1]]


def test_a_workspace_above_is_named_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("here", "elsewhere/below"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "below")
    monkeypatch.chdir(tmp_path / "here")
    order = ["--from", "2026-11-01", "--to", "2026-11-08", "--captures"]
    assert cli.main(["init", "../ws", *order, "../here/{source}/{date}/*.jpg"]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path}/ws/cvkit.yml is written" in told
    assert f"Captures: none yet in {tmp_path}/here/" in told
    assert f"cvkit run --config {tmp_path}/ws/cvkit.yml" in told
    assert 'name: "ws"' in (tmp_path / "ws" / "cvkit.yml").read_text()
    assert cli.main(["init", "../link/../ws", *order, "{source}/{date}/*.jpg"]) == 0
    assert f"{tmp_path}/elsewhere/ws/cvkit.yml is written" in capsys.readouterr().out


def test_the_help_of_run_says_what_a_stretch_without_an_end_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "this day's window and all complete ones after it, up to now without --to" in told
    assert "may be left out" in told


def test_reports_are_a_whole_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--reports", "-3"])
    assert ended.value.code == 2
    assert "whole number" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_told_in_words(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stuck(*arguments: object, **more: object) -> None:
        raise OSError(number, os.strerror(number), "somewhere/file.jpg")

    monkeypatch.setattr("cvkit.demo.run", stuck)
    assert cli.main(["demo"]) == 6
    assert "somewhere/file.jpg" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    code = "import sys; from cvkit import cli; sys.exit(cli.main(['schema']))"
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | head -c 1 >/dev/null', sys.executable, code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_names_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli._say("cam-\x1b[2J\x07é\n")
    assert capsys.readouterr().out == "cam-\\x1b[2J\\x07é\n\n"
