"""Putting the built site where others can see it: a folder, or the branch that GitHub Pages shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cvkit.config import Config
from cvkit.documentation.site.building import Say, build, log
from cvkit.errors import ConfigError, ReportError
from cvkit.storage import lock, remove_tree, storage_error, swap_back, swap_in

BRANCH = "gh-pages"
MARK = ".cvkit-site"  # tells a folder that may be replaced from one that holds something else
GIT_SECONDS = 600
AUTHOR = {"GIT_AUTHOR_NAME": "cvkit", "GIT_AUTHOR_EMAIL": "cvkit@localhost",
          "GIT_COMMITTER_NAME": "cvkit", "GIT_COMMITTER_EMAIL": "cvkit@localhost"}  # fmt: skip


def publish(config: Config, folder: Path, *, warn: Say = log.warning, hint: Say = log.info) -> Path:
    """Build the site and put it in the place of `folder`, which never holds half of one; returns the folder.

    Raises ConfigError where the folder holds something that is no site of cvkit's, StorageError where it cannot be
    written, BusyError while another process publishes this site, and what `build` raises.
    """
    folder = folder.absolute()
    inside = config.workspace.is_relative_to(folder)
    if inside or (folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir())):
        raise ConfigError(
            "the folder holds something that is not a site of cvkit's", where=str(folder),
            expected="an empty folder, none, or one that `cvkit site publish` wrote",
            remedy="name another folder, or empty this one",
        )  # fmt: skip
    part = folder.with_name(f".{folder.name}.part")
    with lock(config.workspace / "locks" / "publish.lock", "publishing this site"):
        try:
            swap_back(folder)
            site = build(config, warn=warn, hint=hint)
            shutil.rmtree(part, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _copy(site, part)
            swap_in(part, folder)
        except OSError as error:
            raise storage_error(error, folder) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _copy(site: Path, folder: Path) -> None:
    shutil.copytree(site, folder)
    (folder / ".nojekyll").touch()  # or GitHub Pages would leave out what starts with an underscore
    (folder / MARK).touch()


def publish_github(config: Config, remote: str = "origin", *, warn: Say = log.warning, hint: Say = log.info) -> str:
    """Build the site and make it the one commit of the remote's branch gh-pages; returns the words to say.

    The branch has no history, or a site of 700 MB would be kept once a night. Nothing in the workspace's own
    repository changes. Raises ConfigError where there is no such repository or remote, ReportError where the push is
    refused.
    """
    address = _git(["remote", "get-url", "--push", remote], config.workspace)
    if address is None:
        raise ConfigError(
            "there is no git remote to publish to", where=str(config.workspace), expected=f"a remote `{remote}`",
            remedy="put the workspace into a git repository and add one (git remote add), or use `--to FOLDER`",
        )  # fmt: skip
    site = build(config, warn=warn, hint=hint)
    with tempfile.TemporaryDirectory(prefix="cvkit-publish-") as temporary:
        folder = Path(temporary) / "site"
        _copy(site, folder)
        target = address if "://" in address or "@" in address else str((config.workspace / address).resolve())
        for words in (["init", "--quiet"], ["add", "--all", "--force"], ["commit", "--quiet", "-m", "Site"],
                      ["push", "--quiet", "--force", target, f"HEAD:refs/heads/{BRANCH}"]):  # fmt: skip
            if _git(words, folder) is None:
                raise ReportError(
                    "git could not publish the site", found=f"git {words[0]} failed", where=f"the remote `{remote}`",
                    remedy=f"try `git push {remote}` in the workspace: it says what is wrong",
                )  # fmt: skip
        remove_tree(folder)
    return f"the branch {BRANCH} of the remote `{remote}` is the site now"


def _git(words: list[str], folder: Path) -> str | None:
    """What git says, or None where it fails; its own words may hold a password of an address and are not passed on."""
    environment = {**os.environ, **AUTHOR, "GIT_TERMINAL_PROMPT": "0"}
    options = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"]
    try:
        done = subprocess.run(
            ["git", *options, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=GIT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
