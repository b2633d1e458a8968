"""What `cvkit deploy` writes for systemd and Airflow, by systemd's own tools and by what an Airflow would be told."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from cvkit import cli
from cvkit.deployment import containers, hosts

PLACE = "srv-line\\x2d7"  # as systemd-escape --path /srv/line-7 says


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units of one workspace, whose program and user are of this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    for path, text in hosts.files().items():
        if path.startswith("systemd/"):
            here = text.replace(hosts.PROGRAM, "/bin/true").replace("User=cvkit", "User=root")
            (tmp_path / Path(path).name.replace("@", f"@{PLACE}")).write_text(here)
    return tmp_path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_systemd_takes_the_units_as_they_are(units: Path) -> None:
    done = analyze("verify", "--man=no", *sorted(units.iterdir()))
    assert (done.returncode, done.stderr) == (0, "")
    (units / f"cvkit-run@{PLACE}.service").write_text(hosts.RUN.replace("PrivateTmp=yes", "PrivateTmp=perhaps"))
    assert "perhaps" in analyze("verify", "--man=no", units / f"cvkit-run@{PLACE}.service").stderr


@pytest.mark.parametrize("name", ["cvkit-run", "cvkit-schedule"])
def test_systemd_finds_the_services_hardened(name: str, units: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=25", "--no-pager", units / f"{name}@{PLACE}.service")
    assert done.returncode == 0, done.stdout[-300:]


def test_the_place_of_a_unit_is_the_path_of_a_workspace() -> None:
    if shutil.which("systemd-escape") is None:
        pytest.skip("systemd-escape is not installed here")
    command = re.search(r"\$\((.+?)\)", hosts.TIMER)
    assert command is not None
    done = subprocess.run(shlex.split(command[1]), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == PLACE


@pytest.mark.parametrize("text", [hosts.RUN, hosts.STAY])
def test_the_units_call_commands_that_there_are(text: str) -> None:
    (start,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    program, *arguments = shlex.split(start)
    assert program == hosts.PROGRAM
    assert cli._parser().parse_args(arguments).config == Path("%f")


def test_the_help_names_all_that_is_written_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cvkit.yml").write_text("reference: {data: data.yaml}\n")
    assert cli.main(["deploy", str(tmp_path / "to"), "--config", str(tmp_path)]) == 0
    folders = {path.name for path in (tmp_path / "to").iterdir() if path.is_dir()}
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["deploy", "--help"])
    told = capsys.readouterr().out.lower()
    assert {"systemd", "airflow", "kubernetes", "grafana"} <= folders
    assert [name for name in folders if name not in told] == []


def test_all_three_call_as_often() -> None:
    assert containers.CALLED_EVERY == "*/10 * * * *"
    assert "OnCalendar=*:0/10\n" in hosts.TIMER
    assert f"every {hosts.PAUSE}" in hosts.TIMER
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    times = analyze("calendar", "--iterations=7", "--base-time=2026-11-20 10:55:00", "*:0/10").stdout
    clocks = re.findall(r"(?:Next elapse|Iter. #\d): \w+ [0-9-]+ (\d\d:\d\d:00)", times)
    assert clocks == ["11:00:00", "11:10:00", "11:20:00", "11:30:00", "11:40:00", "11:50:00", "12:00:00"]


class Airflow:
    """Stands in for the two names a DAG imports: keeps what they are given."""

    def __init__(self) -> None:
        self.dag: dict[str, Any] = {}
        self.tasks: list[dict[str, Any]] = []
        self.inside = False

    def modules(self) -> dict[str, ModuleType]:
        names = ["airflow", *(f"airflow.{part}" for part in ("providers", "providers.standard",
                 "providers.standard.operators", "providers.standard.operators.bash"))]  # fmt: skip
        made = {name: ModuleType(name) for name in names}
        made["airflow"].DAG = self.made  # type: ignore[attr-defined]
        made[names[-1]].BashOperator = self.added  # type: ignore[attr-defined]
        return made

    def made(self, **given: Any) -> Airflow:
        self.dag = given
        return self

    def added(self, **given: Any) -> None:
        assert self.inside, "a task outside of its DAG is in none"
        self.tasks.append(given)

    def __enter__(self) -> Airflow:
        self.inside = True
        return self

    def __exit__(self, *error: object) -> None:
        self.inside = False


@pytest.mark.parametrize("place", ["", "/srv/line 7; touch x"])
def test_the_dag_calls_one_round_at_a_time(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    airflow = Airflow()
    for name, module in airflow.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    if place:
        monkeypatch.setenv("CVKIT_WORKSPACE", place)
    else:
        monkeypatch.delenv("CVKIT_WORKSPACE", raising=False)
    exec(compile(hosts.DAG, "run_due.py", "exec"), {"__name__": "dag"})
    assert airflow.dag["schedule"] == containers.CALLED_EVERY
    assert (airflow.dag["catchup"], airflow.dag["max_active_runs"]) == (False, 1)
    (task,) = airflow.tasks
    program, *arguments = shlex.split(task["bash_command"])
    options = cli._parser().parse_args(arguments)
    assert (program, options.due, str(options.config)) == ("cvkit", True, place or "/workspace")
    assert task["execution_timeout"] == timedelta(seconds=containers.LONGEST_RUN)
    assert not task["bash_command"].endswith(".sh"), "Airflow would take it for the name of a file"


def test_the_cron_job_ends_what_hangs_and_never_runs_two() -> None:
    (job,) = containers.kubernetes({"groups": []}, {"groups": []})["cronjob.yaml"]
    spec = yaml.safe_load(yaml.safe_dump(job))["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == containers.LONGEST_RUN
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
