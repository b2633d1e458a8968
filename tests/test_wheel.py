"""The wheel carries everything: `cvkit init` works from it in an empty folder far from the repository."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built wheel's content, as an installation would lay it out."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    assert Path(wheel).stat().st_size < 8e6
    return folder / "site"


def test_init_works_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("path: .\nval: images\nnames: [a]\n")
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import cvkit\n"
        f"assert cvkit.__file__.startswith({str(installed)!r})\n"
        "from cvkit.cli import main; sys.exit(main(['init', 'new', '--data', 'data.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert {
        "cvkit.yml",
        "cvkit.schema.json",
        "mkdocs.yml",
        "notebooks/01-data-quality.ipynb",
        "notebooks/02-drift.ipynb",
    } <= made


def test_the_demo_model_travels_in_the_wheel(installed: Path) -> None:
    assert (installed / "cvkit" / "demo.pt").stat().st_size < 6 * 2**20


def test_the_help_pages_travel_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "from cvkit.documentation.site import handbook\n"
        "pages = dict(handbook.pages()); assert set(pages) == {handbook.address(name) for name in handbook.PAGES}\n"
        "print(pages['help/python.md'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "#### `ks`" in done.stdout
