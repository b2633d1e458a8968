"""Dashboards: the fleet, and one model's page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from cvkit.deployment import names
from cvkit.deployment.panels import (
    HALF,
    THIRD,
    Panel,
    Query,
    banded,
    bars,
    heat,
    limited,
    lines,
    number,
    rows,
    source,
    spread,
    state_number,
    states,
)
from cvkit.deployment.promql import MISSED_WINDOWS
from cvkit.monitoring.rules import DRIFT_TESTS

RATE = "$__rate_interval"
OF_MODEL = 'model="$model"'
HERE = f'{OF_MODEL},source=~"$source"'
OF_SOURCE = 'source=~"$source"'  # of what the recorder counts whatever the model
RUNS_EVERY = {"ok": None, "critical": float(MISSED_WINDOWS)}  # windows since the end of the newest


def fleet() -> str:
    """All models: which need attention, and since when nothing was heard of them."""
    made = _page(names.FLEET, "cvkit: fleet", "Every model: which one needs attention.")
    age = "(time() - cvkit_window_end_timestamp_seconds) / cvkit_window_seconds"
    worse = 'sum by (model) (cvkit_source_state{model=~".+"} >= bool 2)'
    alerts = 'ALERTS{alertname=~"Cvkit.+",alertstate="firing"}'
    state = "model:cvkit_source_state:max"
    f1 = 'min by (model) (cvkit_measurement{feature="performance",metric="f1"})'
    made = _with(made, [
        states("State of each model", "Worst verdict over its sources.", Query(state, "{{model}} {{version}}")),
        lines("Sources that stand out", "How many have a warning or worse.", [Query(worse, "{{model}}")], "short"),
        limited(lines("Age of the newest window", "In windows; above the line a run was missed.",
                      [Query(age, "{{model}}")], "none"), MISSED_WINDOWS),
        lines("Alerts that fire", "By severity.", [Query(f"count by (model, severity) ({alerts})",
                                                         "{{model}} {{severity}}")], "short"),
        lines("F1 by labels, worst source", "Of windows that have labels.", [Query(f1, "{{model}}")], "percentunit"),
        lines("Frames a second", "What the recorders see.",
              [Query("sum by (model) (model_source:cvkit_frames:rate5m)", "{{model}}")], "reqps"),
        lines("Latency of a frame, 95 %", "Slowest source of each model.",
              [Query("max by (model) (model_source:cvkit_inference_latency_seconds:p95)", "{{model}}")], "s"),
        rows("What is not ok now", "Verdicts of warning and worse.", "cvkit_verdict_state >= 2", ["version"]),
        lines("cvkit's metrics", "1 where the history could be read.", [Query("cvkit_up", "{{model}}")], "none"),
        lines("Versions of cvkit", "Each should be the same.",
              [Query("count by (version) (cvkit_build_info)", "{{version}}")], "short"),
    ])  # fmt: skip
    return _json(made)


def model() -> str:
    """One model: how it runs, what it sees, what changed, and how good it is."""
    made = _page(names.MODEL_PAGE, "cvkit: a model", "One model: how it runs, what it sees, and how good it is.")
    for variable in _variables():
        made = made.with_variable(variable)
    for title, parts in (
        ("Now", _now()),
        ("How it runs", [*_speed(), *_errors(), *_resources()]),
        ("What it sees", _confidence()),
        ("Drift", _drift()),
        ("Image quality", _quality()),
        ("How good it is", _performance()),
        ("Alerts", _alerts()),
    ):
        made = _with(made.with_row(dashboard.Row(title)), parts)
    return _json(made)


def _now() -> list[Panel]:
    age = f"(time() - max(cvkit_window_end_timestamp_seconds{{{OF_MODEL}}})) / max(cvkit_window_seconds{{{OF_MODEL}}})"
    return [
        state_number("Worst verdict", "Over the sources chosen.",
                     Query(f"max(cvkit_source_state{{{HERE}}})", now=True)),
        number("Windows behind", "Since the end of the newest one; above 2 a run was missed.", Query(age, now=True),
               "none", RUNS_EVERY),
        number("Images", "In the newest window.", Query(f"max(cvkit_window_images{{{OF_MODEL}}})", now=True), "short"),
        number("Images with a finding", "In the newest window.",
               Query(f"max(cvkit_window_bad_images{{{OF_MODEL}}})", now=True), "short"),
        states("Verdicts of each source", "The worst over rules and features.",
               Query(f"max by (source) (cvkit_source_state{{{HERE}}})", "{{source}}")),
    ]  # fmt: skip


def _speed() -> list[Panel]:
    quantiles = [Query(f"model_source:cvkit_inference_latency_seconds:{name}{{{HERE}}}", f"{{{{source}}}} {name}")
                 for name in ("p50", "p95", "p99")]  # fmt: skip
    buckets = f"sum by (le) (rate({names.LATENCY}_bucket{{{HERE}}}[{RATE}]))"
    frames = f"sum by (source) (rate({names.FRAMES}{{{HERE}}}[{RATE}]))"
    return [
        lines("Latency of a frame", "Half, 95 % and 99 % of frames take at most this.", quantiles, "s"),
        heat("Latency, all frames", "Frames a second in each bucket.", buckets, "s"),
        lines("Frames a second", "What the model is given.", [Query(frames, "{{source}}")], "reqps"),
    ]


def _errors() -> list[Panel]:
    asked = {
        "model fails": f"sum by (source) (rate({names.ERRORS}{{{OF_SOURCE}}}[{RATE}]))",
        "record dropped": f"sum by (source) (rate({names.DROPPED}{{{OF_SOURCE}}}[{RATE}]))",
    }
    queries = [Query(expression, f"{{{{source}}}} {name}") for name, expression in asked.items()]
    share = (
        f"sum by (source) (rate({names.ERRORS}{{{OF_SOURCE}}}[{RATE}]))"
        f" / sum by (source) (rate({names.ACCEPTED}{{{OF_SOURCE}}}[{RATE}]))"
    )
    waiting = Query(f"sum by (source) ({names.WAITING}{{{OF_SOURCE}}})", "{{source}}")
    return [
        lines("Errors a second", "Of the model, and records that the recorder lost.", queries, "ops"),
        lines("Share of frames with an error", "0 to 1.", [Query(share, "{{source}}")], "percentunit"),
        lines("Records not in a file yet", "Grows where the disk is too slow.", [waiting], "short"),
    ]


def _resources() -> list[Panel]:
    job = f'job="{names.RECORDER_JOB}"'
    asked = (
        ("Processor", "Cores used by the process that runs the model.",
         f"rate(process_cpu_seconds_total{{{job}}}[{RATE}])", "short"),
        ("Memory", "Resident memory of that process.", f"process_resident_memory_bytes{{{job}}}", "bytes"),
        ("Open files", "Of that process.", f"process_open_fds{{{job}}}", "short"),
    )  # fmt: skip
    return [lines(title, words, [Query(expression, "{{instance}}")], unit, THIRD)
            for title, words, expression, unit in asked]  # fmt: skip


def _confidence() -> list[Panel]:
    buckets = f"sum by (le) (rate({names.CONFIDENCE}_bucket{{{HERE}}}[{RATE}]))"
    whole = f"sum by (le) (increase({names.CONFIDENCE}_bucket{{{HERE}}}[$__range]))"
    classes = f"sum by (class) (rate({names.DETECTIONS}{{{HERE}}}[{RATE}]))"
    return [
        heat("Confidence over time", "Boxes a second in each bucket of confidence.", buckets, "percentunit"),
        bars("Confidence, all of the time shown", "Boxes in each bucket.", whole),
        lines("Boxes a second", "By class.", [Query(classes, "{{class}}")], "ops"),
        lines("Brightness now", "Mean grey level of the last frame looked at.",
              [Query(f"{names.BRIGHTNESS}{{{HERE}}}", "{{source}}")], "none"),
        _measured_panel("Mean confidence of a window", "confidence", "percentunit"),
        _measured_panel("Boxes per image of a window", "boxes", "none"),
    ]  # fmt: skip


def _drift() -> list[Panel]:
    verdicts = f'max by (feature) (cvkit_verdict_state{{{HERE},rule="drift"}})'
    moved = f'abs(cvkit_measurement_effect{{{HERE},metric=~"{"|".join(DRIFT_TESTS)}"}})'
    effect, effects = f"max by (feature) ({moved})", Query(moved, now=True)
    return [
        states("Verdicts of drift", "Worst over the sources chosen.", Query(verdicts, "{{feature}}"), HALF),
        lines("Size of the change", "Reference standard deviations; the source that moved most.",
              [Query(effect, "{{feature}}")], "none"),
        _measured_panel("$feature", "$feature", "none"),
        spread("Changes of all sources and features", "How many moved how far, reference standard deviations.",
               effects, "none"),
    ]  # fmt: skip


def _quality() -> list[Panel]:
    share = f'max by (feature) (cvkit_measurement{{{HERE},metric="share"}})'
    verdicts = f'max by (feature) (cvkit_verdict_state{{{HERE},rule="quality"}})'
    images = f'sum by (source) (cvkit_measurement{{{HERE},feature="images",metric="count"}})'
    return [
        lines("Images with each finding", "Share of the window's images; the worst source.",
              [Query(share, "{{feature}}")], "percentunit"),
        states("Verdicts of quality", "Worst over the sources chosen.", Query(verdicts, "{{feature}}"), HALF),
        lines("Images a window", "By source.", [Query(images, "{{source}}")], "short"),
    ]  # fmt: skip


def _performance() -> list[Panel]:
    coverage = f'cvkit_measurement{{{HERE},feature="performance",metric="coverage"}}'
    labelled = lines("Images with labels", "Share of the window's images.", [Query(coverage, "{{source}}")],
                     "percentunit")  # fmt: skip
    return [
        *(_quality_panel(metric, feature) for feature in ("performance", "estimate")
          for metric in ("ap", "precision", "recall")),
        _measured_panel("F1 of the images, by labels", "f1", "percentunit"),
        labelled,
    ]  # fmt: skip


def _alerts() -> list[Panel]:
    firing = f'ALERTS{{alertname=~"Cvkit.+",{OF_MODEL}}}'
    raised = f"cvkit_alert{{{HERE}}}"
    counted = f"count by (alertname, alertstate) ({firing})"
    return [
        lines("Alerts of Prometheus", "Pending and firing.", [Query(counted, "{{alertname}} {{alertstate}}")], "short"),
        lines("Messages", "By channel: waiting, sent, failed.",
              [Query("cvkit_deliveries", "{{channel}} {{status}}")], "short"),
        rows("Alerts of cvkit that are not over", "With what people did about them.", raised, ["Value", "model"]),
    ]  # fmt: skip


def _measured_panel(title: str, feature: str, unit: str) -> Panel:
    """The mean of a feature with its interval, and where 95 % of healthy windows lie."""
    low, high = "healthy, from", "healthy, to"
    words = "Mean of each window with its interval, and the band where 95 % of healthy windows lie."
    about = f'{{{HERE},feature="{feature}",metric="mean"}}'
    queries = [
        *_with_interval(about),
        Query(f"min(cvkit_measurement_expected_low{about})", low),
        Query(f"max(cvkit_measurement_expected_high{about})", high),
    ]
    return banded(lines(title, words, queries, unit), low, high)


def _quality_panel(metric: str, feature: str) -> Panel:
    """How good the model is, with the interval, and what it was on the reference."""
    kind, band = {"performance": ("by labels", "95 % interval"), "estimate": ("estimated", "90 % band")}[feature]
    about = f'{{{HERE},feature="{feature}",metric="{metric}"}}'
    queries = [*_with_interval(about), Query(f"cvkit_measurement_expected{about}", "{{source}} reference")]
    words = f"Of each window, with its {band}, and what it was on the reference."
    name = "AP" if metric == "ap" else metric.capitalize()
    return lines(f"{name} {kind}", words, queries, "percentunit", THIRD)


def _with_interval(about: str) -> list[Query]:
    return [
        Query(f"cvkit_measurement{about}", "{{source}}"),
        Query(f"cvkit_measurement_low{about}", "{{source}} from"),
        Query(f"cvkit_measurement_high{about}", "{{source}} to"),
    ]


def _variables() -> Iterable[Any]:
    asked: Mapping[str, tuple[str, bool]] = {
        "model": ("label_values(cvkit_window_end_timestamp_seconds, model)", False),
        "source": (f"label_values(cvkit_source_state{{{OF_MODEL}}}, source)", True),
        "feature": (f'label_values(cvkit_measurement{{{OF_MODEL},metric="mean"}}, feature)', False),
    }
    for name, (query, every) in asked.items():
        made = dashboard.QueryVariable(name).label(name.capitalize()).query(query).datasource(source())
        made = made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
        yield made.multi(True).include_all(True).all_value(".*") if every else made


def _page(uid: str, title: str, words: str) -> dashboard.Dashboard:
    made = dashboard.Dashboard(title).uid(uid).description(words).tags(["cvkit"]).timezone("utc").readonly()
    links = dashboard.DashboardLink("cvkit").type(models.DashboardLinkType.DASHBOARDS).tags(["cvkit"])
    shared = models.DashboardCursorSync.CROSSHAIR
    return made.refresh("1m").time("now-14d", "now").tooltip(shared).link(links.keep_time(True))


def _with(made: dashboard.Dashboard, panels: Sequence[Panel]) -> dashboard.Dashboard:
    for panel in panels:
        made = made.with_panel(panel)
    return made


def _json(made: dashboard.Dashboard) -> str:
    built = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for place, panel in enumerate(built["panels"], start=1):
        panel["id"] = place
    return json.dumps({**built, "id": None, "version": 1}, indent=2, ensure_ascii=False) + "\n"
