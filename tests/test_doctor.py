"""The doctor: says nothing of a sound workspace, finds each kind of damage, and changes nothing."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lab_world import DAYS
from pyarrow.lib import ArrowException
from test_flow import SETTINGS
from upkeep_world import CHANNEL, NOW, contents, report, version, with_settings

from cvkit import cli, errors
from cvkit.config import Config, load_config
from cvkit.config.champion import Champions, Promotion, text
from cvkit.monitoring.history import History
from cvkit.tables import Window
from cvkit.upkeep import doctor, file_checks, findings, history_checks
from cvkit.upkeep.file_checks import Entry
from cvkit.upkeep.findings import Finding

GIB = 1 << 30
OTHER = hashlib.sha256(b"other").hexdigest()[:12]


@pytest.fixture
def config(upkeep_line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(file_checks, "room_at", lambda folder: (100 * GIB, 50 * GIB, 1000, 900))
    return load_config(shutil.copytree(upkeep_line, tmp_path / "line"))


def found(config: Config, now: datetime = NOW) -> list[Finding]:
    return doctor.examine(config.workspace, now)


def execute(config: Config, *statements: str) -> None:
    with closing(sqlite3.connect(config.workspace / "history.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_nothing_is_said_of_a_sound_workspace(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(config) == []
    before = contents(config.workspace)
    assert cli.main(["doctor", "--config", str(config.workspace)]) == errors.DONE
    assert capsys.readouterr().out == "the workspace is sound\n"
    assert contents(config.workspace) == before, "it changes nothing"


def test_it_changes_nothing_of_a_history_that_others_have_open(config: Config) -> None:
    with History.open(config.history_url) as history:
        history.claim_slot("other: 02-drift", NOW, NOW, 1)
        before = contents(config.workspace)
        assert Path(config.workspace / "history.db-wal").exists()
        assert found(config) == []
        after = contents(config.workspace)
        assert {path for path in after if after[path] != before.get(path)} <= {"history.db-shm"}, "memory of readers"


def _champion(config: Config, name: str) -> None:
    made = Promotion(name, "promoted", "ann", "better", NOW)
    written = config.written
    (config.workspace / "versions" / "champion.json").write_text(
        text(Champions(written.model.weights, written.reference, (made,)))
    )


def _aged(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    for one in (path, path.parent):
        os.utime(one, (NOW.timestamp() - 4000,) * 2)


def _broken(folder: Path) -> None:
    next(folder.rglob("*.parquet")).write_bytes(b"PAR1 and no end")


def _flipped(file: Path) -> None:
    """One bit at the end of the first column's pages."""
    content, column = bytearray(file.read_bytes()), pq.read_metadata(file).row_group(0).column(0)
    content[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size - 1] ^= 1
    file.write_bytes(content)


def _spoilt_history(config: Config) -> None:
    file = config.workspace / "history.db"
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)


def _version_without(config: Config, weights: bytes | None, *, champion: bool = False) -> None:
    name = version(config.workspace, b"weights of the second")
    if champion:
        _champion(config, name)
    file = config.workspace / "versions" / name / "weights.pt"
    file.unlink() if weights is None else file.write_bytes(weights)


def _reports(config: Config, **how: Any) -> None:
    with History.open(config.history_url) as history:
        report(config, history, DAYS[2], **how)


def _message(config: Config, status: str, made: datetime = NOW - timedelta(days=3)) -> None:
    moment = made.strftime("%Y-%m-%d %H:%M:%S.000000")
    execute(
        config,
        "INSERT INTO outbox (id, model, channel, fingerprints, body, status, made, due, attempts, error) "
        f"VALUES ('{status}', 'test', 'ops', '[]', '{{}}', '{status}', '{moment}', '{moment}', 3, 'no answer')",
    )


def _slot(config: Config, when: datetime) -> None:
    with History.open(config.history_url) as history:
        history.claim_slot("test: 02-drift all sources 0 5 * * * UTC", when, NOW - timedelta(hours=2), 1)


def _settings(config: Config, more: str) -> None:
    (config.workspace / "cvkit.yml").write_text(SETTINGS + more)


def _secret_for_all(config: Config) -> None:
    (config.workspace / "token").write_text("hush")
    (config.workspace / "token").chmod(0o644)
    _settings(config, CHANNEL.replace("env:CVKIT_TEST_HOOK", f"file:{config.workspace}/token"))


def _log(config: Config) -> None:
    with (config.workspace / "history.db-wal").open("wb") as file:
        file.truncate(300 << 20)


def at(*parts: str) -> Callable[[Config], Path]:
    return lambda config: config.workspace.joinpath(*parts)


DAMAGE: dict[str, tuple[Callable[[Config], object], str, str, str]] = {  # made by, severity, check, some words
    "unknown key": (lambda c: _settings(c, "colour: red\n"), "error", "settings", "unknown key `colour`"),
    "no YAML": (lambda c: _settings(c, "  x: [\n"), "error", "settings", "cannot be read as YAML"),
    "no settings": (lambda c: (c.workspace / "cvkit.yml").unlink(), "error", "settings", "no settings to read"),
    "history damaged": (_spoilt_history, "error", "history", "is damaged"),
    "evidence damaged": (
        lambda c: execute(c, "UPDATE evidence SET numbers = x'00'"), "error", "history", "evidence in the history",
    ),
    "evidence gone": (
        lambda c: execute(c, "DELETE FROM evidence"), "error", "history", "told of drift is gone",
    ),
    "what was told damaged": (
        lambda c: execute(c, "UPDATE told SET numbers = x'00'"), "error", "history", "evidence in the history",
    ),
    "what was told gone": (
        lambda c: execute(c, "DELETE FROM told"), "error", "history", "told of drift is gone",
    ),
    "what the first window told gone": (
        lambda c: execute(c, "DELETE FROM told WHERE window_start = (SELECT min(window_start) FROM told)"),
        "error", "history", "what a window told of drift is gone",
    ),
    "what was found of one source gone": (
        lambda c: execute(c, "DELETE FROM evidence WHERE rowid = (SELECT max(rowid) FROM evidence)"),
        "error", "history", "what a window told of drift is gone",
    ),
    "streams gone": (
        lambda c: execute(c, "DELETE FROM streams"), "error", "history", "told of drift is gone",
    ),
    "history empty": (lambda c: (c.workspace / "history.db").write_bytes(b""), "error", "history", "an empty file"),
    "history gone": (lambda c: (c.workspace / "history.db").unlink(), "error", "history", "it is gone"),
    "history of another": (
        lambda c: execute(c, "UPDATE cvkit_schema SET version = 99"), "error", "history", "schema 99",
    ),
    "history older": (lambda c: execute(c, "UPDATE cvkit_schema SET version = 6"), "note", "history", "schema 6"),
    "no tables": (lambda c: execute(c, "DROP TABLE cvkit_schema"), "error", "history", "no tables"),
    "log large": (_log, "warning", "history", "300 MiB"),
    "report running": (lambda c: _reports(c, status="running"), "warning", "left running", "it was killed"),
    "slot running": (lambda c: _slot(c, NOW - timedelta(hours=2)), "warning", "left running", "slot is taken"),
    "report's file gone": (lambda c: _reports(c, written=False), "warning", "reports", "its file is gone"),
    "report without a row": (
        lambda c: _aged(c.workspace / "reports" / "x" / "02-drift.ipynb"), "note", "reports", "names this file",
    ),
    "page without a report": (
        lambda c: _aged(c.workspace / "reports" / "x" / "02-drift.evidently.html"), "note", "reports",
        "names this file",
    ),
    "half-written": (lambda c: _aged(c.workspace / "versions" / ".a.part" / "b"), "note", "half-written", ".a.part"),
    "half-written file": (lambda c: _aged(c.workspace / "docs" / ".a.part"), "note", "half-written", "docs/.a.part"),
    "cache": (lambda c: _broken(c.workspace / "features"), "warning", "tables", "measured again"),
    "predictions": (
        lambda c: _aged(c.workspace / "predictions" / "x.parquet"), "warning", "tables", "looks at its images again",
    ),
    "reference damaged": (lambda c: _broken(c.workspace / "references"), "error", "references", "--rebuild"),
    "reference flipped": (
        lambda c: _flipped(next((c.workspace / "references").glob("*/images.parquet"))), "error", "references",
        "--rebuild",
    ),
    "plan": (lambda c: _aged(c.workspace / "label-plans" / "x.parquet"), "error", "tables", "no weights"),
    "reference gone": (
        lambda c: shutil.rmtree(c.workspace / "references"), "warning", "references", "windows up to 2026-09-10",
    ),
    "weights missing": (lambda c: _version_without(c, None), "warning", "versions", "a version are missing"),
    "weights changed": (lambda c: _version_without(c, b"other"), "error", "versions", OTHER),
    "champion's missing": (
        lambda c: _version_without(c, None, champion=True), "error", "versions", "the champion are missing",
    ),
    "champion's changed": (
        lambda c: _version_without(c, b"o", champion=True), "error", "versions", "weights of the champion are not",
    ),
    "champion gone": (lambda c: _champion(c, "0" * 12), "error", "versions", "champion's folder is gone"),
    "champion's file": (
        lambda c: (c.workspace / "versions" / "champion.json").write_text("{"), "error", "versions", "file is damaged",
    ),
    "facts": (
        lambda c: next((c.workspace / "versions").glob("*/version.json")).write_text("["), "warning", "versions",
        "missing or damaged",
    ),
    "deployed weights": (
        lambda c: (c.workspace / "cvkit.yml").write_text(SETTINGS.replace("{name: test", "{name: test, weights: a.pt")),
        "error", "weights", "a.pt",
    ),
    "open to all": (lambda c: (c.workspace / "cvkit.yml").chmod(0o666), "warning", "permissions", "can change it"),
    "secret for all": (_secret_for_all, "warning", "secrets", "token"),
    ".env for all": (lambda c: (c.workspace / ".env").chmod(0o644), "warning", "secrets", ".env"),
    "password for all": (
        lambda c: _settings(c, "history: postgresql+psycopg://a:hush-hush@127.0.0.1:1/x\n"), "warning", "secrets",
        "cvkit.yml",
    ),
    "message waits": (lambda c: _message(c, "waiting"), "warning", "messages", "the oldest for 3 days"),
    "message of long ago": (
        lambda c: _message(c, "waiting", NOW - timedelta(days=40)), "warning", "messages", "for 40 days",
    ),
    "message given up": (lambda c: _message(c, "failed"), "warning", "messages", "1 message given up"),
    "slot in the future": (lambda c: _slot(c, NOW + timedelta(days=1)), "warning", "clock", "the newest slot"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_explained(kind: str, config: Config) -> None:
    damage, severity, check, words = DAMAGE[kind]
    damage(config)
    before = contents(config.workspace)
    rows = found(config)
    mine = [one for one in rows if (one.severity, one.check) == (severity, check) and words in one.line]
    assert mine, rows
    assert all(one.remedy and one.problem and "\n" not in one.line and "hush" not in one.line for one in rows)
    after = contents(config.workspace)
    assert {path for path in after if after[path] != before.get(path)} <= {"history.db-shm"}
    code = cli.main(["doctor", "--config", str(config.workspace)])
    assert code == (errors.DONE if all(one.severity == "note" for one in rows) else errors.UNSOUND)


def test_other_damage_is_looked_for_in_one_go(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("report running", "cache", "weights changed", "half-written"):
        DAMAGE[kind][0](config)
    assert cli.main(["doctor", "--json", "--config", str(config.workspace)]) == errors.UNSOUND
    told = json.loads(capsys.readouterr().out)
    assert told["sound"] is False
    assert [(one["severity"], one["check"]) for one in told["findings"]] == [
        ("error", "versions"), ("warning", "tables"), ("warning", "left running"), ("note", "half-written"),
    ]  # fmt: skip
    cli.main(["doctor", "--config", str(config.workspace)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines if not line.startswith(" ")] == ["error", "warning", "note"]
    assert len(lines) == 3 + 4


def test_what_is_at_work_is_not_taken_for_left_behind(config: Config) -> None:
    _reports(config, status="running")
    lock = config.workspace / "locks" / "run.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert found(config) == []
        os.utime(lock, (NOW.timestamp() - 3 * 86400,) * 2)
        assert [one.check for one in found(config)] == ["locks"]
    assert [one.check for one in found(config)] == ["left running"]
    young = config.workspace / "docs" / ".a.part"
    young.write_text("")
    os.utime(young, (NOW.timestamp() - 60,) * 2)
    assert [one.check for one in found(config)] == ["left running"]


def test_reports_that_have_left_the_site_may_be_deleted(config: Config) -> None:
    _reports(config, written=False)
    with_settings(config.workspace, "site: {keep_days: 5}\n")
    assert found(config) == []
    with_settings(config.workspace, "site: {keep_days: 30}\n")
    assert [one.check for one in found(config)] == ["reports"]


def test_what_other_models_left_in_a_shared_history_is_theirs(config: Config) -> None:
    _message(config, "waiting")
    _slot(config, NOW - timedelta(hours=2))
    _reports(config, status="running")
    assert {one.check for one in found(config)} == {"messages", "left running"}
    execute(config, "UPDATE outbox SET model = 'other'", "UPDATE slots SET job = 'other: ' || job",
            "UPDATE reports SET model = 'other'")  # fmt: skip
    assert found(config) == []


def test_young_messages_and_slots_are_at_work(config: Config) -> None:
    _message(config, "waiting", NOW - timedelta(hours=3))
    execute(config, f"INSERT INTO slots (job, slot, status, attempts, started, error) VALUES ('test: 02-drift', "
            f"'{NOW:%Y-%m-%d} 11:00:00.000000', 'running', 1, '{NOW:%Y-%m-%d} 11:30:00.000000', '')")  # fmt: skip
    assert found(config) == []


def test_a_clock_that_was_wrong(config: Config) -> None:
    rows = found(config, datetime(2026, 9, 9, 12, tzinfo=UTC))
    assert [(one.check, "2026-09-10 00:00" in one.problem) for one in rows] == [("clock", True)]


def test_names_of_the_reports_are_told_for_many_in_one_line(config: Config) -> None:
    with History.open(config.history_url) as history:
        for number in range(5):
            day = f"2026-08-{number + 1:02d}"
            history.record_report(
                model="test", version="external", notebook="02-drift", source="", window=Window.day(day), status="done",
                path=f"reports/{day}/02-drift.ipynb", started=NOW,
            )  # fmt: skip
    (row,) = found(config)
    assert row.where.endswith("reports/2026-08-03/02-drift.ipynb and 2 more")


def test_it_is_said_who_cannot_read_and_write_what() -> None:
    def entry(path: str, *, folder: bool = False, readable: bool = True, writable: bool = True) -> Entry:
        return Entry(path, folder, 0o755, 0, readable, writable)

    rows = list(file_checks.permissions([
        entry("reports", folder=True), entry("docs/a.md", writable=False), entry("captures", readable=False),
        entry("versions/a/weights.pt", readable=False), entry("reports/x", folder=True, writable=False),
    ]))  # fmt: skip
    assert [(one.severity, one.where, one.problem.split(" by")[0]) for one in rows] == [
        ("error", "versions/a/weights.pt", "cannot be read"), ("error", "reports/x", "nothing can be written there"),
    ]  # fmt: skip
    state = history_checks.file_state
    assert [one.severity for one in state("h", size=1, readable=True, writable=False, log_size=0)] == ["error"]
    assert [one.severity for one in state("h", size=1, readable=False, writable=True, log_size=0)] == ["error"]
    assert not list(state("h", size=1, readable=True, writable=True, log_size=0))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permissions_as_the_system_tells_them(config: Config) -> None:
    (config.workspace / "docs" / "index.md").chmod(0)
    assert [one.check for one in found(config)] == ["permissions"]


@pytest.mark.parametrize(
    ("total", "free", "nodes", "free_nodes", "expected"),
    [
        (100 * GIB, 50 * GIB, 0, 0, []),
        (1000 * GIB, 20 * GIB, 0, 0, []),  # a small share of a large disk
        (100 * GIB, 3 * GIB, 0, 0, ["warning"]),
        (100 * GIB, GIB // 10, 0, 0, ["error"]),
        (100 * GIB, 50 * GIB, 1000, 5, ["warning"]),
    ],
)
def test_room_on_the_disk(total: int, free: int, nodes: int, free_nodes: int, expected: list[str]) -> None:
    assert [one.severity for one in file_checks.room("/", total, free, nodes, free_nodes)] == expected


def test_a_database_that_does_not_answer_is_a_finding(config: Config) -> None:
    _settings(config, "history: postgresql+psycopg://a:hush-hush@127.0.0.1:1/x\n")
    (config.workspace / "cvkit.yml").chmod(0o600)
    (row,) = found(config)
    assert (row.severity, row.check) == ("error", "history")
    assert "does not answer" in row.problem
    assert "whether it runs" in row.remedy
    assert "backup" not in row.remedy
    assert "hush" not in row.line


ALERT = (
    "INSERT INTO alerts VALUES ('f{0}', 'm', 'v', 's', 'r', 'info', 'firing', '2026-09-09 00:00:00.000000', NULL, "
    "'2026-09-09 00:00:00.000000', '2026-09-09 00:00:00.000000', 0, '2026-09-09 00:00:00.000000', '', '', '', NULL, 0, "
    "'', NULL, '{{\"value\": NaN, \"low\": -Infinity}}')"
)
DAMAGED_ROWS = [  # what is done to the history, the table and column named, how many rows, and what belongs there
    ("UPDATE alerts SET since = 'yesterday'", "alerts.since", 2, "a time"),
    ("UPDATE alerts SET seen_end = 5 WHERE rowid = 2", "alerts.seen_end", 1, "a time"),
    ("UPDATE alerts SET until = '2026-02-30 00:00:00.000000'", "alerts.until", 2, "a time"),
    ("UPDATE alerts SET severity = 'huge'", "alerts.severity", 2, "info, warning, critical"),
    ("UPDATE alerts SET state = 'banana'", "alerts.state", 2, "firing, acknowledged"),
    ("UPDATE alerts SET inhibited = 'perhaps'", "alerts.inhibited", 2, "true or false"),
    ("UPDATE alerts SET facts = 'y' || substr(facts, 2)", "alerts.facts", 2, "a JSON object"),
    ("UPDATE alerts SET facts = '[1]'", "alerts.facts", 2, "a JSON object"),
    ("UPDATE alerts SET facts = '{\"a\": }'", "alerts.facts", 2, "a JSON object"),
    ("UPDATE evidence SET left_out = '{' WHERE rowid = 2", "evidence.left_out", 1, "a JSON object"),
    ("UPDATE runs SET status = 'banana' WHERE id = 2", "runs.status", 1, "done, failed"),
    ("UPDATE runs SET images = 'many'", "runs.images", 2, "a whole number"),
    ("UPDATE measurements SET value = 'abc' WHERE rowid = 2", "measurements.value", 1, "a number"),
    ("UPDATE verdicts SET reason = x'00' WHERE rowid = 2", "verdicts.reason", 1, "text"),
    ("UPDATE verdicts SET state = 'fine' WHERE rowid = 2", "verdicts.state", 1, "ok, unknown"),
    ("UPDATE verdicts SET run = 77 WHERE rowid = 2", "verdicts", 1, "a row in runs that is not there"),
]


@pytest.mark.parametrize(("statement", "place", "count", "expected"), DAMAGED_ROWS)
def test_damaged_rows_are_counted_and_named(
    statement: str, place: str, count: int, expected: str, config: Config
) -> None:
    execute(config, ALERT.format(1), ALERT.format(2), "UPDATE evidence SET left_out = 'null'")  # as migrations write
    assert found(config) == []
    execute(config, statement)
    (row,) = found(config)
    assert (row.severity, row.check) == ("error", "history")
    first = 2 if count == 1 else 1
    assert f"{place}: {count} damaged row{'s' * (count > 1)}, the first at rowid {first}: " in row.problem
    assert expected in row.problem
    assert "cvkit restore FILE FOLDER" in row.remedy


def test_the_version_of_the_tables_is_missed(config: Config) -> None:
    execute(config, "DELETE FROM cvkit_schema")
    (row,) = found(config)
    assert (row.severity, row.check) == ("error", "history")
    assert "do not say of which cvkit" in row.problem


@pytest.mark.parametrize(("address", "shown"), [
    ("postgresql://u:hush@db.example:543x/x?sslpassword=hush", "postgresql://db.example:***/x"),
    ("postgresql+psycopg://u:a@hush:5@db.example/x", ""), ("postgresql://u:hush/x", ""),
])  # fmt: skip
@pytest.mark.parametrize("command", ["status", "run", "doctor"])
def test_a_port_that_is_no_number(
    command: str, address: str, shown: str, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    _settings(config, f"history: {address}\n")
    code = cli.main([command, "--config", str(config.workspace)])
    assert code == (errors.UNSOUND if command == "doctor" else errors.ConfigError.exit_code)
    told = "".join(capsys.readouterr())
    assert "the history's address cannot be read" in told
    assert "history in cvkit.yml" + (f": {shown}" if shown else "") in told
    assert "orrect it; write an @ or / within a password as %40 or %2F" in told
    assert "hush" not in told


def test_a_thousand_reports_take_seconds(config: Config) -> None:
    with History.open(config.history_url) as history:
        first = datetime(2024, 1, 1, tzinfo=UTC)
        for number in range(1000):
            report(config, history, f"{first + timedelta(days=number * 0.9):%Y-%m-%d}")
    started = time.monotonic()
    assert found(config, datetime(2026, 12, 1, tzinfo=UTC)) == []
    assert time.monotonic() - started < 10, "about a second on a machine with nothing else to do"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert cli.main(["doctor", "--config", str(tmp_path / "none" / "cvkit.yml")]) == errors.ConfigError.exit_code


def test_severities_are_ordered_and_explained() -> None:
    made = [Finding(severity, "c", "w", "p", "r") for severity in ("note", "error")]
    assert findings.text(made, "x").splitlines()[0].startswith("error (")
    assert findings.sound(made[:1])
    assert not findings.sound(made)


def test_a_lack_of_memory_is_no_damaged_history() -> None:
    about = "*** in database main ***\nPage 53:"
    with pytest.raises(errors.StorageError, match="not enough memory"):
        list(history_checks.damage("x", lambda: f"{about} unable to get the page. error code=7"))
    told = list(history_checks.damage("x", lambda: f"{about} never used"))
    assert [one.severity for one in told] == ["error"]


def test_a_lack_of_memory_is_no_damaged_table(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(path: Path, **_: object) -> None:
        raise ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")

    monkeypatch.setattr(pq, "ParquetFile", short)
    with pytest.raises(errors.StorageError, match="not enough memory"):
        found(config)
