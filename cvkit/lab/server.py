"""JupyterLab on a workspace: with a token, on this machine only, asking nobody outside for anything."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from cvkit.config import Config
from cvkit.storage import packaged
from cvkit.workspace import copy_missing

FIRST_PAGE = "notebooks/00-start-here.ipynb"
QUIET = (
    "--LabApp.news_url=",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",  # the other one lists what a package registry has
)
JOBS = "--Scheduler.execution_manager_class=cvkit.lab.jobs.WorkspaceJobs"


def serve(config: Config, port: int = 8888, *, browser: bool = True) -> None:
    """Open JupyterLab on the workspace, and stay until it is stopped. Notebooks that it lacks are put into it first.

    With jupyter-scheduler, notebooks run as jobs as `cvkit run` runs them.
    """
    from jupyterlab.labapp import LabApp

    copy_missing(packaged("notebooks"), config.workspace / "notebooks")
    LabApp.launch_instance(list(arguments(config.workspace, port, browser=browser)))


def arguments(workspace: Path, port: int, *, browser: bool) -> Iterator[str]:
    """What JupyterLab is started with."""
    yield from ("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--ServerApp.root_dir={workspace}")
    yield f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}"
    yield f"--ServerApp.open_browser={browser}"
    yield from QUIET
    if importlib.util.find_spec("jupyter_scheduler") is not None:
        yield JOBS
