"""The main job: measure windows, write the reports people will read, say what was found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from cvkit.config import Config
from cvkit.documentation import evidently
from cvkit.documentation import notebooks as notebook_step
from cvkit.documentation.notebooks import interactive_page
from cvkit.errors import DONE, VERDICT_REACHED, WINDOWS_FAILED, CvkitError, DataError, ReportError
from cvkit.monitoring import alerts, backfill, diagnosis, estimate, identity, monitor, outbox, timeline
from cvkit.monitoring import reference as reference_step
from cvkit.monitoring.history import History
from cvkit.monitoring.recording import Recording
from cvkit.progress import bar
from cvkit.storage import check_home, lock
from cvkit.tables import STATES, Window, worst

BESIDE = "02-drift"  # the notebook that has Evidently's page beside it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    measured: tuple[Window, ...]
    state: str  # the worst verdict of all measured windows
    failures: tuple[str, ...]  # windows and reports that did not come through, with the reason
    summary: str  # for a terminal
    told: alerts.Judged  # which alerts are open, and what happened to alerts
    undelivered: tuple[str, ...] = ()  # messages that could not be sent, and will be tried again

    def exit_code(self, fail_on: str | None = None) -> int:
        """Exit code of the command: failures first, then whether a verdict is as bad as `fail_on`."""
        if self.failures:
            return WINDOWS_FAILED
        reached = fail_on is not None and STATES.index(self.state) >= STATES.index(fail_on)
        return VERDICT_REACHED if reached else DONE


def run(
    config: Config,
    windows: Sequence[Window],
    *,
    notebooks: Sequence[str] | None = None,
    reports: int = 1,
    source: str = "",
    timeout_s: int | None = None,
    wait_s: float = 0,
) -> Outcome:
    """Measure `windows`, then execute `notebooks` (default: all scheduled ones) for the newest `reports` of them.

    A window whose data cannot be used, or a report that breaks, is recorded as failed and the others go on. A report
    may take `timeout_s` seconds, by default what the schedule grants its notebook.
    Whatever becomes of the reports, alerts are then raised and told.
    Raises ConfigError where there is no such notebook, BusyError where another process runs this workspace,
    and still does after `wait_s` seconds, StorageError where the workspace is moved meanwhile.
    """
    for name in notebooks or ():
        notebook_step.find_notebook(config, name)  # a misspelt name is told before the work, not after it
    limits = scheduled(config)
    names = list(limits) if notebooks is None else notebooks
    model, version = config.model.name, config.version
    with ExitStack() as stack:
        stack.enter_context(lock(config.workspace / "locks" / "run.lock", "running this workspace", wait_s))
        history = stack.enter_context(History.open(config.history_url))
        stack.enter_context(history.alone(f"run {model}", f"running model {model}", wait_s))
        again = set(history.unfinished_reports(model, version, names, source))
        history.close_reports("the process that wrote it was killed", model)
        states, failures = _measure(config, windows, history)
        newest = {*windows[-reports:], *again} if reports else set()
        wanted = [(window, name) for window in states if window in newest for name in names]
        try:
            with bar("writing reports", "report") as show:
                for done, (window, name) in enumerate(wanted, 1):
                    failures += _report(config, window, name, source, timeout_s or limits.get(name), history)
                    show(done, len(wanted))
        finally:
            told, undelivered = tell(config, history)
        verdicts = timeline.lately(history, model, version)
        behind = diagnosis.behind(history.runs(model=model), version)
        runs = history.runs(model=model, version=version)
        summary = diagnosis.text(verdicts, runs, identity.judged_by(config, version), behind)
        check_home(config.workspace)  # else it may speak of a reference that was not measured
    return Outcome(tuple(states), worst(list(states.values())), tuple(failures), summary, told, undelivered)


def tell(config: Config, history: History) -> tuple[alerts.Judged, tuple[str, ...]]:
    """Raise, worsen and end alerts by what was measured, and send what is due; what could not be sent."""
    told = alerts.update(config, history)
    return told, outbox.deliver(config, history).errors


def _report(
    config: Config, window: Window, name: str, source: str, timeout_s: int | None, history: History
) -> list[str]:
    """Write one report; what went wrong."""
    report = notebook_step.execute(config, name, window, source, timeout_s or notebook_step.TIMEOUT_S)
    if report.status != "done":
        return [f"report {name} of {window}: {report.error}"]
    if name == BESIDE and config.evidently:
        return _write_interactive(config, window, report, history)
    return []


def _write_interactive(config: Config, window: Window, report: notebook_step.Report, history: History) -> list[str]:
    """Evidently's page beside a report, its numbers into the history; what went wrong. No data, no page."""
    page = interactive_page(report.path)
    observation = monitor.observe(config, window, history=history)
    try:
        compared = evidently.compare(observation, report.source, config.rules)
        evidently.write_report(compared, page)
    except (DataError, ReportError) as error:
        page.unlink(missing_ok=True)
        return [f"Evidently's page of {window}: {error}"] if isinstance(error, ReportError) else []
    history.add_measurements(
        model=config.model.name, version=config.version, window=window, measurements=evidently.summary(compared),
        prefix="evidently_",
    )  # fmt: skip
    return []


def scheduled(config: Config) -> dict[str, int]:
    """The notebooks that the schedule names, in its order, and the seconds that each may take."""
    limits: dict[str, int] = {}
    for job in config.schedule:
        limits[job.notebook] = max(job.timeout_s, limits.get(job.notebook, 0))
    return limits


def _measure(config: Config, windows: Sequence[Window], history: History) -> tuple[dict[Window, str], list[str]]:
    """The worst state of each window that could be measured, and the failures of those that could not."""
    reference = measure_reference(config)
    states: dict[Window, str] = {}
    failures: list[str] = []
    with bar("measuring windows", "window") as show, Recording(config, reference, history) as recording:
        for done, (window, found) in enumerate(backfill.measured(config, windows, reference, recording.past), 1):
            if isinstance(found, CvkitError):
                recording.failed(window, found)
                if not isinstance(found, DataError):
                    raise found
                failures.append(f"{window}: {found}")
            else:
                states[window] = worst(list(recording.put(found)["state"]))
            show(done, len(windows))
    return states, failures


def measure_reference(config: Config) -> reference_step.Reference:
    """The frozen reference and what it teaches of quality, with progress bars the first time, when it is measured."""
    with bar("measuring the reference", "image") as show:
        reference = reference_step.load(config, show)
    with bar("learning to estimate without labels", "image") as show:
        estimate.load(config, reference, show)
    return reference
