"""The site as it grows: rendered once, complete whatever was kept, small, and published whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from made_up_workspace import MadeUp, day, executed, make, picture, report
from nbformat import v4

from cvkit import cli, errors
from cvkit.config import Config, load_config
from cvkit.documentation import pictures, site
from cvkit.documentation.site import publishing, rendering, shell
from cvkit.errors import ConfigError, ReportError, StorageError
from cvkit.monitoring.history import History
from cvkit.storage import swap_in

REPORTS = tuple((number, "02-drift", source, "done") for number in (0, 1, 2) for source in ("", "cam <1>"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make(tmp_path / "workspace", MadeUp(reports=REPORTS))


TIMES = rb"20\d\d-\d\d-\d\d \d\d:\d\d|\d+ (?:minutes|hours|days)|<lastBuildDate>[^<]*"


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a site, without times of building."""
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    return {
        name: re.sub(TIMES, b"", file.read_bytes())
        for name, file in files.items()
        if not name.endswith(".gz")  # the sitemap once more, with a time
    }


def page(config: Config, number: int = 0, name: str = "02-drift") -> str:
    return (config.workspace / "site" / "reports" / day(number).label / name / "index.html").read_text("utf-8")


def settings(config: Config, text: str) -> Config:
    config.path.write_text(config.path.read_text() + text)
    return load_config(config.workspace)


def test_a_build_after_changes_equals_one_from_nothing(config: Config, tmp_path: Path) -> None:
    site.build(config)
    with History.open(config.history_url) as history:
        report(config, history, 3, "02-drift", "", "done")  # the newest: its neighbour's page has to link to it
        file = report(config, history, 0, "02-drift", "", "done")
        (config.workspace / "reports" / day(1).label / "02-drift.ipynb").unlink()
    file.write_text(file.read_text().replace("Zebrafish", "Quagga"))
    (config.workspace / "docs" / "new.md").write_text("# A new page of the navigation\n")
    grown = content(site.build(config))
    again = tmp_path / "again"
    shutil.copytree(config.workspace, again, ignore=shutil.ignore_patterns(".cache", "site"))
    fresh = content(site.build(load_config(again)))
    assert grown.keys() == fresh.keys()
    assert not [name for name in grown if grown[name] != fresh[name]]
    assert "Quagga" in page(config)
    assert "A new page of the navigation" in page(config)
    assert f"../../{day(3).label}/02-drift/" in page(config, 2)
    assert not list((config.workspace / "site").rglob("*cvkit-*report*"))
    assert not [name for name, found in grown.items() if b"cvkit-slot" in found]


def test_mkdocs_builds_the_same_pages(config: Config, tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config as load_mkdocs

    ours = content(site.build(config))
    settings = load_mkdocs(str(config.workspace / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "theirs"))
    build(settings)
    assert content(tmp_path / "theirs") == ours


def test_a_report_has_one_title_and_a_table_of_contents(config: Config) -> None:
    site.build(config)
    html = page(config)
    assert re.findall(r"<h1[^>]*>([^<]*)", html) == ["Report about 02-drift"]
    for anchor in ("top", "trend", "numbers"):
        assert html.count(f'id="{anchor}"') == 1
        assert re.search(rf'<a href="#{anchor}" class="md-nav__link">', html)
    assert "SHA-256" in html
    assert re.search(r"72 images, reference \w+", html)


def test_the_search_and_the_map_of_the_site_know_each_report(config: Config) -> None:
    mkdocs = config.workspace / "mkdocs.yml"
    mkdocs.write_text(mkdocs.read_text() + "site_url: https://example.org/health/\n")
    folder = site.build(config)
    found = json.loads((folder / "search" / "search_index.json").read_text())["docs"]
    known = [entry["location"] for entry in found if entry["location"].startswith("reports/2")]
    assert len(known) == len(set(known)) == len(REPORTS)
    assert any("cam &lt;1&gt;" in entry["text"] for entry in found)
    listed = re.findall(r"<loc>https://example.org/health/(reports/2[^<]*)</loc>", (folder / "sitemap.xml").read_text())
    assert sorted(listed) == sorted(known)
    assert 'href="https://example.org/health/reports/2026-11-01/02-drift/"' in page(config)


def test_headings_that_are_alike_have_anchors_of_their_own() -> None:
    cells = [v4.new_markdown_cell("# One\n\n## Same <i>x</i>\n\n## Same <i>x</i>"), v4.new_markdown_cell("# Two")]
    fragment = rendering.render(v4.new_notebook(cells=cells))
    assert fragment.title == "One"
    assert fragment.headings == (("same-x", "Same x"), ("same-x-2", "Same x"), ("two", "Two"))


@pytest.mark.parametrize("entries", [1, 2, 5])
def test_slots_are_filled_once_whatever_stands_in_them(entries: int) -> None:
    toc = "".join(f'<li><a href="#{anchor}">{words}</a>' for anchor, words in shell.ENTRIES)
    html = f'<a href="#{shell.ENTRIES[0][0]}">skip</a><p>{shell.TITLE}</p><ul>{toc}</ul>{shell.CONTENT}<ol>{toc}</ol>'
    headings = [(f"a{n}", shell.TITLE) for n in range(entries)]
    made = shell.fill(shell.read(html), "reports/w/n", shell.CONTENT, shell.ENTRIES[1][0], headings)
    listed = "".join(f'<li><a href="#a{n}">{shell.TITLE}</a>' for n in range(entries))
    assert made == (
        f'<a href="#a0">skip</a><p>{shell.CONTENT}</p><ul>{listed}</ul>{shell.ENTRIES[1][0]}<ol>{listed}</ol>'
    )


def test_pages_of_too_much_are_cut_and_say_so() -> None:
    large = "x" * 1_000_000
    outputs = [v4.new_output("display_data", {"text/html": f"<p>{large}</p>"}) for _ in range(3)]
    outputs.append(v4.new_output("stream", text="y" * 500_000))
    cells = [v4.new_markdown_cell("# Large"), v4.new_code_cell("draw()", outputs=outputs)]
    html = rendering.render(v4.new_notebook(cells=cells)).html
    assert len(html) < rendering.PAGE_BYTES
    assert html.count("The notebook file has it") == 2
    assert html.count(large) == 1
    assert "cut: 400000 more characters" in html


def test_a_notebook_too_large_to_read_is_offered(config: Config) -> None:
    file = config.workspace / "reports" / day(0).label / "02-drift.ipynb"
    with file.open("r+b") as content_:
        content_.truncate(rendering.FILE_BYTES)  # a hole: no disk is filled
    site.build(config)
    assert "50 MB large, too large to be shown" in page(config)
    assert (config.workspace / "site" / "reports" / day(0).label / "02-drift" / "02-drift.ipynb").is_file()


def test_pictures_get_small_and_stay_what_they_are() -> None:
    import base64
    import io

    import numpy as np
    from PIL import Image

    data: dict[str, Any] = {"image/png": picture("x")}
    before = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "PNG")
    photo: dict[str, Any] = {"image/png": base64.b64encode(written.getvalue()).decode()}
    pictures.make_small(data)
    pictures.make_small(photo)
    after = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    assert after.size == before.size
    assert after.getpixel((0, 299)) == (255, 255, 255)
    assert np.abs(np.asarray(after, int) - np.asarray(before, int)).mean() < 2
    assert list(photo) == ["image/jpeg"]
    assert len(photo["image/jpeg"]) < len(written.getvalue())
    broken = {"image/png": "A" * 20_000}
    pictures.make_small(broken)
    assert broken == {"image/png": "A" * 20_000}


def test_old_reports_leave_the_site_but_for_those_that_are_linked(config: Config) -> None:
    (config.workspace / "docs" / "incident.md").write_text(
        f"# Incident\n\n[seen here](reports/{day(1).label}/02-drift.ipynb)\n"
    )
    config = settings(config, "site: {keep_days: 1}\n")
    folder = site.build(config)
    assert [path.parent.name for path in folder.glob("reports/*/02-drift")] == [day(1).label]
    assert "5 older reports have left the site" in (folder / "reports" / "index.html").read_text()
    assert (config.workspace / "reports" / day(0).label / "02-drift.ipynb").is_file()


def test_files_are_deleted_only_when_it_is_asked_for(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(config, "site: {keep_days: 1}\n")
    (config.workspace / "reports" / day(1).label / "mine.txt").touch()
    arguments = ["site", "prune", "--config", str(config.workspace)]
    assert cli.main(arguments) == 0
    assert f"{len(REPORTS)} files" in capsys.readouterr().out
    assert len(list(config.workspace.glob("reports/*/*.ipynb"))) == len(REPORTS)
    assert cli.main([*arguments, "--delete"]) == 0
    assert not list(config.workspace.glob("reports/*/*.ipynb"))
    assert [day_.name for day_ in config.workspace.glob("reports/*")] == [day(1).label], "empty folders stay"
    site.build(config)


def test_a_folder_is_published_whole_and_nothing_else_is_replaced(config: Config, tmp_path: Path) -> None:
    target = tmp_path / "www" / "health"
    assert site.publish(config, target) == target
    assert (target / ".nojekyll").is_file()
    (target / "index.html").write_text("old")
    site.publish(config, target)
    assert (target / "index.html").read_text() != "old"
    assert [path.name for path in target.parent.iterdir()] == ["health"]
    target.rename(target.with_name(".health.cvkit-old"))  # as a kill between the old one and the new one leaves it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "build", lambda config, **told: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            site.publish(config, target)
    assert [path.name for path in target.parent.iterdir()] == ["health"]
    with pytest.raises(StorageError):  # there is nothing to put there: the old one stays
        swap_in(tmp_path / "none", target)
    assert (target / "index.html").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for folder in (tmp_path / "mine", config.workspace):
        with pytest.raises(ConfigError, match="not a site"):
            site.publish(config, folder)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def git(*words: str, folder: Path) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_branch_of_github_pages_is_one_commit(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no git remote"):
        site.publish_github(config)
    bare = tmp_path / "bare.git"
    git("init", "--quiet", "--bare", str(bare), folder=tmp_path)
    git("init", "--quiet", folder=config.workspace)
    git("remote", "add", "origin", str(bare), folder=config.workspace)
    for _ in range(2):
        site.publish_github(config)
    assert git("rev-list", "--count", "gh-pages", folder=bare) == "1"
    names = git("ls-tree", "-r", "--name-only", "gh-pages", folder=bare).splitlines()
    assert {"index.html", ".nojekyll", f"reports/{day(0).label}/02-drift/index.html"} <= set(names)
    assert git("status", "--porcelain", "--untracked-files=no", folder=config.workspace) == ""
    git("remote", "set-url", "origin", str(tmp_path / "gone.git"), folder=config.workspace)
    with pytest.raises(ReportError, match="could not publish"):
        site.publish_github(config)


def test_a_report_half_written_or_gone_breaks_nothing(config: Config) -> None:
    file = config.workspace / "reports" / day(0).label / "02-drift.ipynb"
    site.build(config)
    whole = file.read_bytes()
    for content_, words in ((whole[: len(whole) // 2], "file damaged"), (b"", "file damaged"), (None, "file missing")):
        file.unlink() if content_ is None else file.write_bytes(content_)
        folder = site.build(config)
        assert words in (folder / "reports" / "index.html").read_text()
        assert not (folder / "reports" / day(0).label / "02-drift").exists()
    nbformat.write(executed("02-drift", day(0), "", failed=False), file)
    assert site.build(config, strict=True)
    assert (site.build(config) / "reports" / day(0).label / "02-drift" / "index.html").is_file()


def test_a_damaged_report_is_told_and_refused_where_that_is_asked_for(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.workspace / "reports" / day(0).label / "02-drift.ipynb"
    file.write_bytes(file.read_bytes()[:100])
    command = ["site", "build", "--config", str(config.workspace)]
    assert cli.main(command) == errors.DONE
    told = capsys.readouterr().err
    assert f"{file} is no notebook that can be shown: `cvkit run --window DAY` writes it again" in told
    assert "file damaged" in (config.workspace / "site" / "reports" / "index.html").read_text()
    assert cli.main([*command, "--strict"]) == errors.ReportError.exit_code
    assert f"{file} is no notebook" in capsys.readouterr().err


def test_pages_do_not_come_after_the_window_they_are_kept_for(config: Config) -> None:
    from datetime import UTC, datetime

    from cvkit.documentation.site import retention

    config = settings(config, "site: {keep_days: 10}\n")
    with History.open(config.history_url) as history:
        kept, left = retention.divide(config, history, datetime(2026, 11, 13, tzinfo=UTC))
        assert set(left["window_start"]) == {day(0).start}  # its end is 11 days ago, that of the next day 10
        assert set(kept["window_start"]) == {day(1).start, day(2).start}
        assert day(0).end + timedelta(days=11) == datetime(2026, 11, 13, tzinfo=UTC)


def test_a_notebook_that_changes_at_the_same_length_is_found(config: Config) -> None:
    site.build(config)
    file = config.workspace / "reports" / day(0).label / "02-drift.ipynb"
    with file.open("r+b") as content_:  # written into, not replaced: the same inode
        content_.seek(file.read_bytes().index(b"Zebrafish"))
        content_.write(b"Hippogrif")
    site.build(config)
    assert "Hippogrif" in page(config)
    assert "Zebrafish" not in page(config)


def test_what_has_not_changed_is_neither_read_nor_written_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pages() -> dict[str, int]:
        files = (config.workspace / "site").glob("reports/*/*/index.html")
        return {file.relative_to(config.workspace).as_posix(): file.stat().st_ino for file in files}

    site.build(config)
    before = pages()
    with History.open(config.history_url) as history:
        report(config, history, 3, "02-drift", "", "done")
    opened: list[Path] = []
    monkeypatch.setattr(
        rendering, "look", lambda file, kept, look=rendering.look: opened.append(file) or look(file, kept)
    )
    site.build(config)
    assert [file.parent.name for file in opened] == [day(3).label]
    written = {name for name, inode in pages().items() if before.get(name) != inode}
    assert {name.split("/")[2] for name in written} == {day(2).label, day(3).label}, "the new one and its neighbour"
    edited = config.workspace / "site" / "reports" / day(0).label / "02-drift" / "index.html"
    edited.write_text(edited.read_text().replace("Zebrafish", "Quagga"))  # by hand: it is not taken for ours
    site.build(config)
    assert "Zebrafish" in page(config)


LOADED = """
import sys
from cvkit.config import load_config
from cvkit.documentation import site
site.build(load_config(sys.argv[1]), strict=True)
print("mkdocs_jupyter" in sys.modules)
"""


def test_notebooks_among_the_pages_are_shown_and_loading_what_shows_them_is_saved_without(config: Config) -> None:
    def loaded() -> str:
        command = [sys.executable, "-W", "ignore", "-c", LOADED, str(config.workspace)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert loaded() == "False"
    nbformat.write(executed("mine", day(0), "", failed=False), config.workspace / "docs" / "mine.ipynb")
    assert loaded() == "True"
    assert "Report about mine" in (config.workspace / "site" / "mine" / "index.html").read_text()
