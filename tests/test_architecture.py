"""The house: imports go one way, statistics stay pure, formats stay in one room, nothing heavy on import."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from alert_world import config, drift

from cvkit.monitoring.history import History

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cvkit"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "skeleton" not in path.parts)
FLOORS = ("words", "stats", "data", "monitoring", "maintenance", "documentation", "top")
WORDS = {"addresses", "errors", "config", "tables", "storage", "yaml_files", "moments", "markup", "serving"}
HEAVY = ("torch", "ultralytics", "evidently", "matplotlib", "mkdocs", "papermill", "pandas", "numpy", "sqlalchemy")
WORKING = (  # what measures, draws and writes reports: nothing that a command needs which only reads the history
    "scipy", "sklearn", "matplotlib", "evidently", "torch", "ultralytics", "cv2", "PIL", "nbformat", "papermill",
    "jinja2", "mkdocs", "simplejpeg",
)  # fmt: skip
READING = (
    "alerts list", "alerts log", "alerts ack drift@cam-1 --why seen", "alerts snooze drift@cam-1 --why seen --for 1d",
    "rules check", "status", "metrics textfile {folder}/cvkit.prom",
    "metrics backfill {folder}/cvkit.om --from 2026-11-01",
)  # fmt: skip
FORMAT_WORDS = ("xml.etree", "defusedxml", "read_json", "yaml")  # readers of label and prediction formats


def floor(module: str) -> int:
    """Number of the floor a dotted module of cvkit is on."""
    parts = module.split(".")
    if len(parts) == 1:
        return 0  # the package itself only offers names lazily
    if parts[1] in WORDS or parts[1] == "__version__":
        return 0
    return FLOORS.index(parts[1]) if parts[1] in FLOORS else FLOORS.index("top")


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down_the_house(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    here = floor(dotted(path))
    upward = [name for name in imports(path) if name.startswith("cvkit.") and floor(name) > here]
    assert not upward, f"{dotted(path)} imports from a higher floor: {upward}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "stats").rglob("*.py")), ids=dotted)
def test_statistics_are_pure(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)} & {"pandas", "matplotlib", "torch", "pathlib", "os", "io"}
    assert not foreign, f"{dotted(path)} must work on arrays only, not on {foreign}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_label_formats_stay_in_sources(path: Path) -> None:
    if "sources" in path.parts or path.stem == "sources":
        return
    assert not [name for name in imports(path) if name.startswith(("xml", "defusedxml"))]
    assert "read_json(" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, f"{dotted(path)} is longer than one topic"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= 40, f"{dotted(path)}.{node.name} has {length} lines"


def test_there_are_no_import_cycles() -> None:
    known = {dotted(path) for path in MODULES}
    edges = {
        dotted(path): {n if n in known else n.rpartition(".")[0] for n in imports(path)} & known for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join([*trail, module])}"
        if module not in done:
            for target in edges[module] - {"cvkit", module}:
                visit(target, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("statement", ["import cvkit", "import cvkit.cli"])
def test_import_is_light(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


def test_commands_that_only_read_the_history_start_light(tmp_path: Path) -> None:
    with History.open(config(tmp_path, "channels: []").history_url) as history:
        drift(history, "w")
    commands = [[*line.format(folder=tmp_path).split(), "--config", str(tmp_path)] for line in
                ("alerts deliver", *READING)]  # fmt: skip
    code = (
        "import sys; from cvkit.cli import main\n"
        f"for words in {commands!r}:\n"
        "    assert main(words) == 0, words\n"
        f"    loaded = [name for name in {WORKING!r} if name in sys.modules]\n"
        "    assert not loaded, (words, loaded)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_evidently_imports_with_the_pinned_pandas() -> None:
    code = "import os; os.environ['DO_NOT_TRACK'] = '1'; import evidently; print(evidently.__version__)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]


def test_conda_users_get_the_same_versions() -> None:
    """environment.yml names no version of its own: pip reads pyproject.toml, held by constraints.txt."""
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = next(item for item in wanted if isinstance(item, str) and item.startswith("python>"))
    assert python == f"python{project['requires-python']}"
    pip = next(item["pip"] for item in wanted if isinstance(item, dict))
    assert pip == ["--constraint constraints.txt", "--editable ."]


def test_constraints_hold_every_dependency_within_its_bounds() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if "://" in line or "@" in line], "no addresses in the constraints"
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(text)
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{text} is pinned to {version}"
