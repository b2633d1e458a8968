"""The thresholds of the panel: what a slider shows is what measuring anew would have raised."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pandas as pd
import pytest
import yaml
from alert_world import config, day, measured, verdict
from test_replay import DAY, START, USUAL
from test_replay import measured as streams_of

from cvkit import cli
from cvkit.config import load_config
from cvkit.lab.desk import Desk
from cvkit.lab.thresholds import Thresholds
from cvkit.monitoring import backtest, identity
from cvkit.monitoring.alarms import Key, State
from cvkit.monitoring.history import History
from cvkit.tables import MEASUREMENTS, VERDICTS, Window, conform, empty

MONTHS = 48 / (365.25 / 12)


@pytest.fixture(scope="module")
def streams() -> dict[Key, State]:
    return streams_of(USUAL)


@pytest.fixture
def folder(tmp_path: Path, streams: dict[Key, State]) -> Path:
    """Two cameras and 48 days, of which the history has the last states of evidence."""
    made = config(tmp_path, more="rules: {drift_critical: 9}")
    rows = [verdict(source, "noise", "ok") for source in ("cam-1", "cam-2")]
    verdicts = conform(pd.DataFrame(rows), VERDICTS)
    with History.open(made.history_url) as history:
        for number in range(48):
            start = START + number * DAY
            history.record(
                model="m", version="external", window=Window(start, start + DAY), **identity.judged_by(made),
                measurements=empty(MEASUREMENTS), verdicts=verdicts, images=0, bad_images=0, started=START,
                streams=streams if number == 47 else None,
            )  # fmt: skip
    return tmp_path


def opened(folder: Path) -> Thresholds:
    part = Thresholds(Desk(folder))
    part.refresh()
    return part


def alarms_of(states: dict[Key, State], source: str) -> int:
    """Stretches of days on which any feature of a source has an alarm."""
    on = {
        number
        for (of, _), state in states.items()
        for episode in state["episodes"]
        for number in range(48)
        if of == source and episode["raised"] <= (START + number * DAY).isoformat() < (episode["ended"] or "9")
    }
    return sum(number - 1 not in on for number in on)


@pytest.mark.parametrize(("budget", "size"), [(52.0, 0.3), (0.05, 0.3), (1.0, 2.0)])
def test_a_setting_shows_what_measuring_anew_would_raise(folder: Path, budget: float, size: float) -> None:
    part = opened(folder)
    assert (part.budget.value, part.size.value) == (1.0, 0.3)
    assert "Nothing to write" in part.keep.value
    part.budget.value, part.size.value = budget, size
    anew = streams_of(USUAL.model_copy(update={"false_alarms_per_year": budget, "drift_warning": size}))
    expected = sum(alarms_of(anew, source) for source in ("cam-1", "cam-2"))
    row = part.table.set_index(["budget", "drift_warning"]).loc[(budget, size)]
    assert row["alarms"] == expected == len(part.alarms)
    assert row["a_month"] == pytest.approx(expected / MONTHS)
    assert f"<b>{expected / MONTHS:.2g}</b>" in part.said.value
    assert "Today's, 1 a year and 0.3" in part.said.value
    assert len(part.lines.places) == expected
    assert part.figure is not None


def test_the_command_line_counts_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = opened(folder)
    part.budget.value = 52.0
    assert cli.main(["backtest", "--budget", "52", "--config", str(folder)]) == 0
    line = next(line.split() for line in capsys.readouterr().out.splitlines() if line.split()[0] == "52")
    assert float(line[2]) == part.table.set_index("budget").loc[52.0, "alarms"]


def test_the_lines_that_keep_a_setting_can_be_written(folder: Path) -> None:
    part, file = opened(folder), folder / "cvkit.yml"
    part.budget.value, part.size.value = 12.0, 2.0
    text = part.keep.value.partition('<pre class="cvkit-copy">')[2].partition("</pre>")[0]
    written = yaml.safe_load(file.read_text())
    written["rules"] |= yaml.safe_load(text)["rules"]
    file.write_text(yaml.safe_dump(written))
    rules = load_config(folder).rules
    assert (rules.false_alarms_per_year, rules.drift_warning) == (12.0, 2.0)
    assert str(file) in part.keep.value
    part.back.click()
    assert (part.budget.value, part.size.value) == (1.0, 0.3)


def test_a_size_beyond_critical_names_both_lines(folder: Path) -> None:
    (folder / "cvkit.yml").write_text(
        (folder / "cvkit.yml").read_text().replace("drift_critical: 9", "drift_critical: 0.8")
    )
    part = opened(folder)
    part.size.value = 2.0
    assert "drift_critical: 2" in part.keep.value


def test_an_alarm_that_is_chosen_is_looked_at(folder: Path) -> None:
    part = opened(folder)
    part.desk.window = part.desk.windows[0]
    part.lines.chosen = 0
    row = part.alarms.iloc[0]
    assert part.desk.window.start == row["start"]


def test_in_a_kernel_what_takes_long_is_worked_out_bit_by_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvkit.lab.thresholds.AT_ONCE_S", 0.0)
    part = opened(folder)

    async def move() -> tuple[str, str]:
        part.size.value = 2.0
        part.size.value = 3.0  # before the other is there
        first = part.said.value
        while "Replaying" in part.said.value:
            await asyncio.sleep(0.001)
        return first, part.said.value

    first, last = asyncio.run(move())
    assert "Replaying the past" in first
    assert "Today's, 1 a year" in last
    assert part.note.value == ""
    assert sorted(part.table["drift_warning"]) == [0.3, 3.0]  # the one that nobody waits for is given up


def test_a_workspace_without_evidence_says_so(tmp_path: Path) -> None:
    made = config(tmp_path)
    with History.open(made.history_url) as history:
        measured(history, 0, [verdict("cam-1", "brightness", "ok")])
    part = opened(tmp_path)
    assert "no past to replay" in part.note.value
    part.budget.value = 52.0
    assert part.desk.window == day(0)


def test_the_table_of_alarms_of_none_has_its_columns() -> None:
    table = backtest.alarm_table(())
    assert list(table.columns) == ["source", "start", "end", "features"]
    assert "UTC" in str(table["start"].dtype)
