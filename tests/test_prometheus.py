"""What Prometheus is told: right, bounded, escaped, cheap to ask for, and never old news told as new."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import made_up_metrics as made_up
import pytest
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from cvkit import cli, errors
from cvkit.config import Config
from cvkit.monitoring import exposition, series
from cvkit.monitoring.history import History
from cvkit.monitoring.prometheus import (
    ALERTS,
    METRICS,
    STATE_VALUES,
    Newest,
    gauges,
)
from cvkit.tables import STATES, empty

ROOT = Path(__file__).parents[1]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
ALLOWED = {
    "schedule",
    "model",
    "version",
    "source",
    "feature",
    "metric",
    "class",
    "rule",
    "severity",
    "state",
    "channel",
    "status",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = made_up.workspace(tmp_path / "w")
    made_up.record(config, made_up.today(1), sick=False)
    made_up.record(config, made_up.today())
    return config


@pytest.fixture
def told(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The same with alerts and messages."""
    monkeypatch.setattr(series, "_alerts", lambda history, model: made_up.alerts(config))
    monkeypatch.setattr(series, "_deliveries", lambda history, model: made_up.deliveries())
    made_up.slots(config)
    return config


@pytest.fixture
def served(told: Config) -> Iterator[str]:
    server = exposition.server(exposition.Scraper(told.history_url, told.model.name), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def scraped(config: Config, accept: str = "") -> str:
    return exposition.Scraper(config.history_url, config.model.name).metrics(choose_encoder(accept)[0]).decode()


def samples(text: str) -> list[Sample]:
    return [sample for family in parse_text(text) for sample in family.samples]


def value(text: str, name: str, **labels: str) -> float:
    found = [one for one in samples(text) if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) == 1, f"{name} {labels}: {found}"
    return float(found[0].value)


def told_by(labels: dict[str, str], one: Sample) -> tuple[str, object, float]:
    """A number with its labels; one that is empty is none."""
    return one.name, tuple(sorted((name, text) for name, text in labels.items() if text)), float(one.value)


# -- what is told -----------------------------------------------------------------------------------------------------


def test_every_number_of_the_newest_window_is_told_once_and_as_it_is(told: Config) -> None:
    text = scraped(told)
    with series.opened(told.history_url) as engine:
        newest = series.newest(engine, told.model.name)
    for row in newest.measurements.to_dict("records"):
        about = {"source": row["source"], "feature": row["feature"], "metric": row["metric"]}
        assert value(text, "cvkit_measurement", **about) == row["value"]
        assert value(text, "cvkit_measurement_values", **about) == row["n"]
    assert value(text, "cvkit_measurement_low", source="cam-1", feature="f1", metric="mean") == pytest.approx(0.891)
    assert value(text, "cvkit_measurement", feature="class_boxes", source="cam-1", **{"class": 'a "b"'}) == 1.5
    assert value(text, "cvkit_window_end_timestamp_seconds") == made_up.today().end.timestamp()
    assert value(text, "cvkit_window_seconds") == 86400
    assert value(text, "cvkit_window_images") == 72
    assert value(text, "cvkit_up") == 1
    assert value(text, "cvkit_series") == len(samples(text)) - 5  # the two that count, build_info, up, errors


def test_states_are_numbers_in_rising_order_of_attention_and_a_source_has_its_worst(told: Config) -> None:
    text = scraped(told)
    assert list(STATE_VALUES) == list(STATES)
    assert value(text, "cvkit_verdict_state", source="cam-2", rule="data") == 1
    assert value(text, "cvkit_verdict_state", source="cam-2", rule="quality") == 2
    assert value(text, "cvkit_source_state", source="cam-2") == 3
    assert value(text, "cvkit_source_state", source="cam-1") == 0


def test_alerts_that_are_over_are_gone_and_messages_are_counted(told: Config) -> None:
    text = scraped(told)
    states = {one.labels["rule"]: one.labels["state"] for one in samples(text) if one.name == "cvkit_alert"}
    assert states == {"no-images": "firing", "drift": "acknowledged"}
    assert value(text, "cvkit_deliveries", channel="slack", status="waiting") == 2
    oldest = [one for one in samples(text) if one.name == "cvkit_deliveries_oldest_timestamp_seconds"]
    assert [one.value for one in oldest] == [datetime(2026, 11, 2, tzinfo=UTC).timestamp()]


def test_names_units_and_labels_keep_the_conventions(told: Config) -> None:
    found: dict[str, set[str]] = {}
    for one in samples(scraped(told)):
        found.setdefault(one.name, set()).update(one.labels)
    for name, labels in found.items():
        assert re.fullmatch(r"cvkit_[a-z]+(_[a-z]+)*", name)
        assert labels <= ALLOWED
        assert labels <= set(METRICS[name].labels)
    failed = {"cvkit_failed_window_end_timestamp_seconds", "cvkit_last_failure_timestamp_seconds"}
    assert set(METRICS) - failed == set(found)


@pytest.mark.parametrize("source", made_up.SOURCES)
def test_hostile_names_come_back_as_they_were(told: Config, source: str) -> None:
    assert value(scraped(told), "cvkit_source_state", source=source) >= 0
    modern = [one for family in parse_openmetrics(scraped(told, OPENMETRICS)) for one in family.samples]
    assert [one for one in modern if one.name == "cvkit_source_state" and one.labels["source"] == source]


def test_both_formats_say_the_same(told: Config) -> None:
    modern = [one for family in parse_openmetrics(scraped(told, OPENMETRICS)) for one in family.samples]

    assert {told_by(one.labels, one) for one in modern} == {told_by(one.labels, one) for one in samples(scraped(told))}


def test_the_reference_writer_writes_the_same_lines(told: Config) -> None:
    """prometheus_client's own writer, given what its parser read."""
    text = scraped(told)
    again = generate_latest(exposition.Given(parse_text(text))).decode()
    ours, theirs = (sorted(told_by(one.labels, one) for one in samples(one)) for one in (text, again))
    assert ours == theirs


def test_a_window_that_failed_is_told_and_a_success_ends_it(config: Config) -> None:
    with History.open(config.history_url) as history:
        later = made_up.today(-1)
        history.record_failure(config.model.name, made_up.VERSION, later, later.end, "no disk")
    text = scraped(config)
    assert value(text, "cvkit_failed_window_end_timestamp_seconds") == later.end.timestamp()
    assert value(text, "cvkit_window_end_timestamp_seconds") == made_up.today().end.timestamp()
    made_up.record(config, later)
    text = scraped(config)
    assert "cvkit_failed_window_end_timestamp_seconds{" not in text
    assert value(text, "cvkit_window_end_timestamp_seconds") == later.end.timestamp()


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1, 10, 25, 100, 100_000])
def test_series_are_bounded_and_what_is_left_out_is_counted(told: Config, most: int) -> None:
    with series.opened(told.history_url) as engine:
        newest = series.newest(engine, told.model.name)
    text = gauges(newest, most)
    given, everything = len(samples(text)) - 2, len(samples(gauges(newest))) - 2
    assert given <= most
    assert value(text, "cvkit_series") == given
    assert value(text, "cvkit_series_left_out") == everything - given


def test_windows_and_states_stay_where_measurements_do_not_fit(told: Config) -> None:
    with series.opened(told.history_url) as engine:
        text = gauges(series.newest(engine, told.model.name), 40)
    names = {one.name for one in samples(text)}
    assert {"cvkit_window_end_timestamp_seconds", "cvkit_source_state", "cvkit_alert"} <= names
    assert "cvkit_measurement_effect" not in names


def test_distances_go_before_means(config: Config) -> None:
    with series.opened(config.history_url) as engine:
        newest = series.newest(engine, config.model.name)
    everything = len(samples(gauges(newest))) - 2
    metrics = {one.labels["metric"] for one in samples(gauges(newest, everything - 30)) if "metric" in one.labels}
    assert "mean" in metrics
    lost = [one for one in samples(gauges(newest, everything - 30)) if one.labels.get("metric") == "ks"]
    assert len(lost) < len([one for one in samples(gauges(newest)) if one.labels.get("metric") == "ks"])


def test_the_same_labels_twice_are_given_once(config: Config) -> None:
    """Two classes of one name; Prometheus would refuse the second."""
    with series.opened(config.history_url) as engine:
        newest = series.newest(engine, config.model.name)
    import pandas as pd

    twice = Newest(newest.model, measurements=pd.concat([newest.measurements, newest.measurements]))
    once = Newest(newest.model, measurements=newest.measurements)
    assert len(samples(gauges(twice))) == len(samples(gauges(once)))
    assert value(gauges(twice), "cvkit_series_left_out") == len(samples(gauges(once))) - 2


def test_nothing_known_is_told_without_a_word_about_windows() -> None:
    text = gauges(Newest('m "x"'))
    assert [(one.name, one.labels, one.value) for one in samples(text)] == [
        ("cvkit_series", {"model": 'm "x"'}, 0), ("cvkit_series_left_out", {"model": 'm "x"'}, 0),
    ]  # fmt: skip
    assert empty(ALERTS).empty


def test_infinities_are_written_as_prometheus_reads_them(config: Config) -> None:
    with series.opened(config.history_url) as engine:
        newest = series.newest(engine, config.model.name)
    newest.measurements.loc[0, ["value", "low", "high"]] = [float("inf"), float("-inf"), float("nan")]
    row = newest.measurements.loc[0]
    about = {"source": row["source"], "feature": row["feature"], "metric": row["metric"]}
    text = gauges(newest)
    assert value(text, "cvkit_measurement", **about) == float("inf")
    assert value(text, "cvkit_measurement_low", **about) == float("-inf")
    assert not [
        one for one in samples(text) if one.name == "cvkit_measurement_high" and about.items() <= one.labels.items()
    ]


# -- serving ----------------------------------------------------------------------------------------------------------


def get(address: str, **headers: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(address, headers={name.replace("_", "-"): text for name, text in headers.items()})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read()


def test_metrics_are_served_in_the_format_that_is_asked_for(served: str) -> None:
    status, kind, body = get(f"{served}/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert samples(body.decode())
    _, kind, body = get(f"{served}/metrics", Accept=OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert body.count(b"# EOF") == 1
    _, _, packed = get(f"{served}/metrics", Accept_Encoding="gzip")
    assert packed[:2] == b"\x1f\x8b"
    assert b"/metrics" in get(f"{served}/")[2]


@pytest.mark.parametrize(("path", "method", "status"), [("/other", "GET", 404), ("/metrics", "POST", 405)])
def test_other_requests_are_refused(served: str, path: str, method: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(served + path, method=method), timeout=20)
    assert refused.value.code == status
    refused.value.close()


def test_a_scrape_without_news_reads_nothing_again_and_a_new_window_is_seen(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    scraper = exposition.Scraper(config.history_url, config.model.name)
    before = scraper.metrics(generate_latest)
    read = []
    real = series.newest
    monkeypatch.setattr(series, "newest", lambda *given: read.append(given) or real(*given))
    assert scraper.metrics(generate_latest) == before
    assert not read
    made_up.record(config, made_up.today(), sick=False)
    assert value(scraper.metrics(generate_latest).decode(), "cvkit_source_state", source="cam-2") == 0
    assert len(read) == 1


def test_a_new_window_is_made_ready_before_it_is_asked_for(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    scraper = exposition.Scraper(config.history_url, config.model.name)
    made_up.record(config, made_up.today(), sick=False)
    scraper.look()
    monkeypatch.setattr(series, "newest", lambda *given: pytest.fail("read at the scrape"))
    assert value(scraper.metrics(generate_latest).decode(), "cvkit_source_state", source="cam-2") == 0


def test_rows_that_are_added_later_are_seen(config: Config) -> None:
    scraper = exposition.Scraper(config.history_url, config.model.name)
    scraper.metrics(generate_latest)
    import pandas as pd

    from cvkit.tables import MEASUREMENTS, conform

    row = {"source": "cam-1", "feature": "boxes", "metric": "evidently_psi", "value": 0.5}
    with History.open(config.history_url) as history:
        history.add_measurements(
            model=config.model.name, version=made_up.VERSION, window=made_up.today(),
            measurements=conform(pd.DataFrame([row]), MEASUREMENTS), prefix="evidently_",
        )  # fmt: skip
    assert value(scraper.metrics(generate_latest).decode(), "cvkit_measurement", metric="evidently_psi") == 0.5


def test_a_history_that_is_missing_is_told_and_not_made(config: Config) -> None:
    scraper = exposition.Scraper(config.history_url, config.model.name)
    scraper.metrics(generate_latest)
    file = config.workspace / "history.db"
    file.rename(file.with_suffix(".away"))
    for count in (1, 2):
        text = scraper.metrics(generate_latest).decode()
        assert value(text, "cvkit_up") == 0
        assert value(text, "cvkit_history_errors_total") == count
        assert "cvkit_measurement" not in text, "old news must not be told as new"
        assert "cvkit_window_end" not in text
    assert not file.exists()
    file.with_suffix(".away").rename(file)
    text = scraper.metrics(generate_latest).decode()
    assert value(text, "cvkit_up") == 1
    assert value(text, "cvkit_history_errors_total") == 2
    assert value(text, "cvkit_window_images") == 72


def test_a_history_that_is_locked_is_told_in_time(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "BUSY_SECONDS", 0.2)
    holder = sqlite3.connect(config.workspace / "history.db")
    holder.execute("PRAGMA journal_mode=DELETE")  # in WAL mode writers keep no reader waiting
    holder.execute("BEGIN EXCLUSIVE")
    scraper = exposition.Scraper(config.history_url, config.model.name)
    try:
        start = datetime.now(UTC)
        assert value(scraper.metrics(generate_latest).decode(), "cvkit_up") == 0
        assert datetime.now(UTC) - start < timedelta(seconds=8)
    finally:
        holder.rollback()
        holder.close()
    assert value(scraper.metrics(generate_latest).decode(), "cvkit_up") == 1


def test_a_damaged_history_is_told(config: Config) -> None:
    for file in config.workspace.glob("history.db*"):
        file.unlink()
    (config.workspace / "history.db").write_bytes(b"no database at all" * 1000)
    assert value(scraped(config), "cvkit_up") == 0


def test_an_address_that_is_taken_is_said_in_words(
    served: str, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    address = served.removeprefix("http://")
    assert cli.main(["metrics", "serve", "--config", str(config.path), "--address", address]) == 6
    assert address in capsys.readouterr().err


@pytest.mark.parametrize("address", ["9108", "host:", "host:99999", "host:http"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["metrics", "serve", "--address", address])
    assert ended.value.code == 2


def test_only_this_machine_is_served_where_nothing_is_said() -> None:
    from cvkit.commands.metrics import ADDRESS

    assert ADDRESS.startswith("127.0.0.1:")


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_textfile_is_the_scrape_and_appears_whole(told: Config, tmp_path: Path) -> None:
    file = tmp_path / "collector" / "cvkit.prom"
    assert cli.main(["metrics", "textfile", str(file), "--config", str(told.path)]) == 0
    text = file.read_text()
    assert value(text, "cvkit_window_images") == 72
    assert {one.name for one in samples(text)} == {
        one.name for one in samples(scraped(told)) if one.name != "cvkit_history_errors_total"
    }
    assert all(one.timestamp is None for one in samples(text)), "node_exporter takes no times"
    assert [path.name for path in file.parent.iterdir()] == ["cvkit.prom"]


def test_a_textfile_stays_as_it_was_where_the_history_is_missing(told: Config, tmp_path: Path) -> None:
    (tmp_path / "cvkit.prom").write_text("old\n")
    (told.workspace / "history.db").unlink()
    assert cli.main(["metrics", "textfile", str(tmp_path / "cvkit.prom"), "--config", str(told.path)]) == 6
    assert (tmp_path / "cvkit.prom").read_text() == "old\n"


def test_a_gateway_that_does_not_answer_is_said_in_words(told: Config, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = "http://127.0.0.1:9"
    assert cli.main(["metrics", "push", "--gateway", gateway, "--config", str(told.path)]) == 6
    assert gateway in capsys.readouterr().err


def test_backfill_is_openmetrics_with_each_number_at_its_window_s_end(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "history.om"
    asked = ["metrics", "backfill", str(file), "--config", str(config.path), "--label", "job=cvkit"]
    assert cli.main(asked) == 0
    found = [one for family in parse_openmetrics(file.read_text()) for one in family.samples]  # refuses wrong orders
    sick = [one for one in found if one.name == "cvkit_source_state" and one.labels["source"] == "cam-2"]
    assert [(one.value, float(one.timestamp)) for one in sick] == [
        (0.0, made_up.today(1).end.timestamp()), (3.0, made_up.today().end.timestamp()),
    ]  # fmt: skip
    assert all(one.labels["job"] == "cvkit" for one in found)
    now = {told_by({**one.labels, "job": "cvkit"}, one) for one in samples(scraped(config)) if one.name in METRICS}
    end = made_up.today().end.timestamp()
    then = {told_by(one.labels, one) for one in found if float(one.timestamp) == end}
    now = {one for one in now if one[0].startswith(("cvkit_measurement", "cvkit_verdict", "cvkit_source"))}
    assert len(now) > 100
    assert now <= then, "the newest window is as it is scraped"


@pytest.mark.parametrize(
    ("start", "end", "windows"), [("", "", 2), ("first", "", 2), ("second", "", 1), ("", "second", 1)]
)
def test_backfill_of_a_stretch(config: Config, tmp_path: Path, start: str, end: str, windows: int) -> None:
    days = {"first": made_up.today(1).start, "second": made_up.today().start}
    asked = [f"--{word}={days[name]:%Y-%m-%d}" for word, name in (("from", start), ("to", end)) if name]
    assert cli.main(["metrics", "backfill", str(tmp_path / "h.om"), "--config", str(config.path), *asked]) == 0
    lines = re.findall(r"^cvkit_window_images\{.*$", (tmp_path / "h.om").read_text(), re.MULTILINE)
    assert len(lines) == windows


def test_two_windows_with_one_end_give_one_number(config: Config, tmp_path: Path) -> None:
    from cvkit.tables import Window

    day = made_up.today()
    made_up.record(config, Window(day.start + timedelta(hours=12), day.end))
    exposition.backfill(config, tmp_path / "h.om")
    list(parse_openmetrics((tmp_path / "h.om").read_text()))
    lines = re.findall(
        rf"^cvkit_window_images.* {day.end.timestamp():.3f}$", (tmp_path / "h.om").read_text(), re.MULTILINE
    )
    assert len(lines) == 1


def test_the_memory_of_a_backfill_does_not_grow_with_the_history(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "AT_ONCE", 200)

    def peak() -> int:
        tracemalloc.start()
        exposition.backfill(config, tmp_path / "h.om")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for days in range(2, 12):
        made_up.record(config, made_up.today(days))
    peak()
    few = peak()
    for days in range(12, 34):
        made_up.record(config, made_up.today(days))
    assert peak() < 1.5 * few


@pytest.mark.parametrize("label", ["job", "=x", "a-b=c", "é=c"])
def test_a_label_that_is_none_is_refused(label: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["metrics", "backfill", "x.om", "--label", label])
    assert ended.value.code == 2


# -- docs -------------------------------------------------------------------------------------------------------------


def test_every_metric_has_its_row_in_the_docs() -> None:
    page = (ROOT / "docs" / "how-to" / "prometheus.md").read_text(encoding="utf-8")
    for name, about in METRICS.items():
        labels = ", ".join(about.labels)
        assert f"| `{name}` | {labels} | {about.words} |" in page


@pytest.mark.parametrize("command", ["serve", "push", "textfile", "backfill"])
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        cli.main(["metrics", command, "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--config"}
    assert f"`cvkit metrics {command}" in page
    assert not [option for option in options if option not in page]


def test_help_stays_light() -> None:
    import subprocess
    import sys

    code = (
        "import sys, json; from cvkit import cli\n"
        "try: cli.main(['metrics', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('pandas', 'prometheus_client', 'grafana_foundation_sdk', 'yaml')\n"
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.strip().splitlines()[-1]) == []
    assert errors.DONE == 0
