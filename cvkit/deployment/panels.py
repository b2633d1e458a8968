"""Panels: Grafana's building blocks as the dashboards use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    histogram,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from cvkit.deployment import names

# Told apart also by people who do not see red and green alike (Okabe and Ito), and always with the word beside them.
STATE_COLOURS = {"ok": "#009E73", "unknown": "#999999", "warning": "#F0E442", "critical": "#D55E00"}
HEIGHT = 8
WIDE, HALF, THIRD, QUARTER = 24, 12, 8, 6  # of 24 columns

Panel = Any  # a builder of one of the kinds of panels, which share no type but `Builder`


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of Prometheus, and what its lines are called."""

    expression: str
    legend: str = ""
    now: bool = False  # only the newest value
    buckets: bool = False  # of a histogram
    table: bool = False


def source() -> models.DataSourceRef:
    """The data source of all panels."""
    return models.DataSourceRef(type_val="prometheus", uid=names.DATASOURCE)


def lines(title: str, description: str, queries: Sequence[Query], unit: str, span: int = HALF) -> Panel:
    """A line graph."""
    made = timeseries.Panel().line_width(1).fill_opacity(5).show_points(words.VisibilityMode.AUTO)
    made = made.legend(_legend()).tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI))
    made = made.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    return _of(made, title, description, queries, span).unit(unit)


def limited(panel: Panel, limit: float) -> Panel:
    """A line graph with a line at a limit."""
    style = common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(_steps({"transparent": None, STATE_COLOURS["critical"]: limit})).thresholds_style(style)


def banded(panel: Panel, low: str, high: str) -> Panel:
    """A line graph whose lines named `low` and `high` are shown as a band without lines of their own."""
    quiet = [models.DynamicConfigValue("custom.lineWidth", 0), models.DynamicConfigValue("custom.fillOpacity", 0)]
    fill = [models.DynamicConfigValue("custom.lineWidth", 0), models.DynamicConfigValue("custom.fillOpacity", 15),
            models.DynamicConfigValue("custom.fillBelowTo", low)]  # fmt: skip
    return panel.override_by_name(low, quiet).override_by_name(high, fill)


def heat(title: str, description: str, expression: str, unit: str, span: int = HALF) -> Panel:
    """A heat map of a histogram's buckets over time."""
    colours = heatmap.HeatmapColorOptions().scheme("Viridis").steps(64)
    made = heatmap.Panel().calculate(False).color(colours).y_axis(heatmap.YAxisConfig().unit(unit))
    return _of(made, title, description, [Query(expression, "{{le}}", buckets=True)], span)


def spread(title: str, description: str, query: Query, unit: str, span: int = HALF) -> Panel:
    """A histogram of the newest values of many series."""
    return _of(histogram.Panel().fill_opacity(60), title, description, [query], span).unit(unit)


def bars(title: str, description: str, expression: str, span: int = HALF) -> Panel:
    """A histogram that Prometheus keeps: a bar for each bucket, of the time shown."""
    made = bargauge.Panel().display_mode(words.BarGaugeDisplayMode.BASIC).orientation(words.VizOrientation.VERTICAL)
    made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    query = Query(expression, "{{le}}", now=True, buckets=True)
    return _of(made, title, description, [query], span).unit("short").min(0)


def number(
    title: str, description: str, query: Query, unit: str, limits: dict[str, float | None] | None = None
) -> Panel:
    """One number, large; `limits` are the states it takes from which value on."""
    made = stat.Panel().graph_mode(words.BigValueGraphMode.NONE).color_mode(words.BigValueColorMode.BACKGROUND)
    made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    steps = _steps({STATE_COLOURS[name]: value for name, value in (limits or {"unknown": None}).items()})
    return (
        _of(made, title, description, [query], QUARTER)
        .unit(unit)
        .decimals(0 if unit == "short" else 1)
        .thresholds(steps)
        .height(4)
    )


def state_number(title: str, description: str, query: Query) -> Panel:
    """A verdict as a word on its colour."""
    return _stated(number(title, description, query, "none"))


def states(title: str, description: str, query: Query, span: int = WIDE) -> Panel:
    """Verdicts over time, one row each."""
    made = statetimeline.Panel().show_value(words.VisibilityMode.NEVER).legend(_legend())
    return _stated(_of(made, title, description, [query], span))


def rows(title: str, description: str, expression: str, hidden: Sequence[str], span: int = WIDE) -> Panel:
    """A table of labels and values."""
    made = _of(table.Panel(), title, description, [Query(expression, now=True, table=True)], span)
    hide = {"excludeByName": dict.fromkeys(("Time", "__name__", "job", "instance", *hidden), True)}
    return made.with_transformation(models.DataTransformerConfig(id_val="organize", options=hide))


def _of(made: Panel, title: str, description: str, queries: Sequence[Query], span: int) -> Panel:
    made = made.title(title).description(description).datasource(source()).span(span).height(HEIGHT)
    for place, query in enumerate(queries):
        asked = Dataquery().expr(query.expression).ref_id(chr(ord("A") + place)).datasource(source())
        asked = asked.instant() if query.now else asked.range()
        shape = PromQueryFormat.HEATMAP if query.buckets else PromQueryFormat.TIME_SERIES
        asked = asked.format(PromQueryFormat.TABLE if query.table else shape)
        made = made.with_target(asked.legend_format(query.legend) if query.legend else asked)
    return made


def _stated(panel: Panel) -> Panel:
    """A panel of verdicts: words and colours in place of numbers."""
    steps = {colour: None if not place else float(place) for place, colour in enumerate(STATE_COLOURS.values())}
    said = {str(place): models.ValueMappingResult(text=name, color=colour, index=place)
            for place, (name, colour) in enumerate(STATE_COLOURS.items())}  # fmt: skip
    scheme = dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
    return panel.mappings([models.ValueMap(options=said)]).thresholds(_steps(steps)).color_scheme(scheme)


def _steps(colours: dict[str, float | None]) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(color=colour, value=value) for colour, value in colours.items()]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _legend() -> common.VizLegendOptions:
    made = common.VizLegendOptions().display_mode(words.LegendDisplayMode.LIST)
    return made.placement(words.LegendPlacement.BOTTOM).show_legend(True)
