"""Building the site: what is said of it, what stops it, and how its navigation reads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_up_workspace import fresh

from cvkit import cli
from cvkit.documentation import site


@pytest.mark.parametrize("target", ["old-plan.md", "reports/2026-11-01/02-drift.ipynb"])
def test_a_bad_link_is_said_once_and_the_site_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    """In a card, whose words anyone may write; the night's status page must not stay yesterday's for it."""
    folder = fresh(tmp_path / "workspace").workspace
    (folder / "docs" / "model-card.md").write_text(
        f"# Card\n\n<!-- people: use -->\n[plan]({target}), [again]({target})\n<!-- /people -->\n"
    )
    for arguments in (["build"], ["publish", "--to", str(tmp_path / "www")]):
        assert cli.main(["site", *arguments, "--config", str(folder)]) == 0
        told = capsys.readouterr()
        lines = [line for line in told.err.splitlines() if target in line]
        assert len(lines) == 1
        assert "model-card.md" in lines[0]
        assert len(told.out.splitlines()) == 1
    built = folder / "site" / "index.html"
    built.write_text("old")
    assert cli.main(["site", "build", "--strict", "--config", str(folder)]) == 4
    assert target in capsys.readouterr().err
    assert built.read_text() == "old"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "theirs")],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert target in done.stderr


def test_who_reads_the_feed_is_said_where_it_has_no_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = fresh(tmp_path / "workspace")
    arguments = ["site", "build", "--config", str(config.workspace)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().err
    assert told.count("feed.xml") == told.count("site_url") == 1
    config.path.write_text(config.path.read_text() + "alerts: {site: 'https://a.example/line/'}\n")
    assert cli.main(arguments) == 0
    assert not capsys.readouterr().err


def test_no_two_entries_of_the_navigation_have_one_name(tmp_path: Path) -> None:
    config = fresh(tmp_path / "workspace")
    for folder in ("documents", "versions"):
        (config.workspace / "docs" / folder).mkdir()
        (config.workspace / "docs" / folder / "one.md").write_text("# One\n")
    html = (site.build(config) / "index.html").read_text()
    names = re.findall(
        r'<(?:a|label)[^>]*class="md-nav__link[^"]*"[^>]*>\s*<span class="md-ellipsis">\s*([^<]*?)\s*<', html
    )
    assert {"Documents", "Versions", "Documents, one by one", "Versions, one by one"} <= set(names)
    assert names.count("Documents") == names.count("Versions") == 1
