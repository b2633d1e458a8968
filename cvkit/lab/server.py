"""JupyterLab on a workspace: with a token, on this machine only, asking nobody outside for anything."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvkit.config import Config
from cvkit.storage import packaged
from cvkit.workspace import copy_missing

FIRST_PAGE = "notebooks/00-start-here.ipynb"
NEWS = "@jupyterlab/apputils-extension:announcements"  # asks every newcomer whether to get any
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",  # the other one lists what a package registry has
)
JOBS = "cvkit.lab.jobs.WorkspaceJobs"


def serve(config: Config, port: int = 8888, *, browser: bool = True, root: bool = False) -> None:
    """Open JupyterLab on the workspace, and stay until it is stopped. Notebooks that it lacks are put into it first.

    With jupyter-scheduler, notebooks run as jobs as `cvkit run` runs them.
    """
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import LabApp

    copy_missing(packaged("notebooks"), config.workspace / "notebooks")
    given = list(arguments(config.workspace, port, browser=browser, root=root))
    ServerApp.instance(tornado_settings={"page_config_hook": without_news})  # the one that LabApp extends
    LabApp.launch_instance(given)


def without_news(_: object, page: dict[str, Any]) -> dict[str, Any]:
    """JupyterLab's own settings of its page, without its question about news."""
    return {**page, "disabledExtensions": [*page.get("disabledExtensions", ()), NEWS]}


def arguments(workspace: Path, port: int, *, browser: bool, root: bool) -> Iterator[str]:
    """What JupyterLab is started with."""
    yield from ("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={workspace}")
    yield f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}"
    yield f"--ServerApp.open_browser={browser}"
    yield f"--ServerApp.allow_root={root}"
    yield from QUIET
    if importlib.util.find_spec("jupyter_scheduler") is not None:
        kept = workspace / ".cache" / "lab"
        kept.mkdir(parents=True, exist_ok=True)
        yield f"--Scheduler.execution_manager_class={JOBS}"
        yield f"--SchedulerApp.db_url=sqlite:///{kept / 'jobs.sqlite'}"
        yield f"--Scheduler.staging_path={kept / 'jobs'}"
