"""What `docs/design/threat-model.md` claims and no other test shows."""

from __future__ import annotations

import ast
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alert_world import START, config, measured, verdict

from cvkit.commands import metrics
from cvkit.config import parse_config
from cvkit.data import stores
from cvkit.documentation import site
from cvkit.errors import ConfigError, CvkitError, StorageError
from cvkit.lab import server
from cvkit.monitoring import alerts, outbox
from cvkit.monitoring.history import History
from cvkit.storage import packaged

ROOT = Path(__file__).parents[1]
PACKAGED = ROOT / "cvkit"
CODE = sorted(PACKAGED.rglob("*.py"))
SECRET = "pl4nted-s3cret-0f-a-test"
FORBIDDEN = {
    "eval", "exec", "compile", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "shelve.open",
    "joblib.load", "dill.load", "cloudpickle.load", "pd.read_pickle", "os.system", "os.popen", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "torch.hub.load", "torch.jit.load",
}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


def dangers(path: Path) -> list[str]:
    """Calls that run what a file says."""
    found = []
    for name, node in calls(path):
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in FORBIDDEN or given.get("shell") == "True" or given.get("allow_pickle") == "True":
            found.append(f"{path.name}:{node.lineno}: {name}")
        if name == "torch.load" and given.get("weights_only") != "True":
            found.append(f"{path.name}:{node.lineno}: torch.load of anything")
        if name == "yaml.load" and given.get("Loader") != "_Loader":
            found.append(f"{path.name}:{node.lineno}: yaml.load by another loader")
        if name.endswith("torch_safe_load") and given.get("safe_only") != "True":
            found.append(f"{path.name}:{node.lineno}: weights by the loader that runs code")
    return found


def test_nothing_runs_what_a_file_says() -> None:
    assert len(CODE) > 200
    # A worker is asked by the process that started it, over a pipe that no other has.
    asked = PACKAGED / "data" / "worker.py"
    assert [words.rpartition(": ")[2] for words in dangers(asked)] == ["pickle.load"]
    assert [words for path in CODE if path != asked for words in dangers(path)] == []


@pytest.mark.parametrize("code", [
    "eval(x)", "pickle.load(f)", "yaml.load(f)", "yaml.load(f, Loader=yaml.Loader)", "torch.load(f)",
    "torch.load(f, weights_only=False)", "subprocess.run(x, shell=True)", "np.load(f, allow_pickle=True)",
    "torch_safe_load(x)", "os.system(x)",
])  # fmt: skip
def test_the_check_sees_what_it_looks_for(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.py").write_text(code)
    assert dangers(tmp_path / "a.py")


def test_the_loader_of_yaml_is_the_safe_one_with_more_errors() -> None:
    text = (ROOT / "cvkit" / "yaml_files.py").read_text(encoding="utf-8")
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in ast.parse(text).body
             if isinstance(node, ast.ClassDef)}  # fmt: skip
    assert bases == {"_Loader": ["yaml.SafeLoader"]}


@pytest.mark.parametrize("text", ["a: !!python/object/apply:os.system ['true']", "a: !!python/name:os.system x"])
def test_yaml_makes_no_objects(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        parse_config(text, tmp_path / "cvkit.yml")


def holders(folder: Path, secret: str) -> list[str]:
    """Files whose name or bytes hold the secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if secret in path.name or secret.encode() in path.read_bytes()]


def test_a_planted_secret_is_in_no_log_page_history_or_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PLANTED", f"http://127.0.0.1:9/services/{SECRET}")
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)
    channels = (
        "{name: chat, kind: slack, secret: 'env:PLANTED', timeout_s: 2}, {name: hook, kind: webhook, url:"
        " 'http://127.0.0.1:9/x', secret: 'env:PLANTED_TOKEN', timeout_s: 2}"
    )
    shutil.copytree(packaged("skeleton"), tmp_path, dirs_exist_ok=True)
    workspace = config(tmp_path, f"channels: [{channels}]")
    told: list[str] = []
    with History.open(workspace.history_url) as history:
        measured(history, 0, [verdict("cam-1", "brightness", "critical")])
        alerts.update(workspace, history, START + timedelta(days=1))
        outbox.deliver(workspace, history, clock=lambda: START + timedelta(days=1))
        told += [str(row) for row in outbox.unsent(workspace, history)]
        assert len(told) == 2  # both were tried, and failed
    told += [repr(outbox.try_out(workspace)), repr(workspace), workspace.model_dump_json()]
    site.build(workspace)
    assert holders(tmp_path, SECRET) == []
    out = capfd.readouterr()
    assert SECRET not in "".join([*told, caplog.text, out.out, out.err])


def test_the_search_for_secrets_finds_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"\0" + SECRET.encode())
    assert holders(tmp_path, SECRET) == [str(tmp_path / "a" / "b")]


def test_the_password_of_a_history_is_in_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for url in (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:9/x", f"nothing://me:{SECRET}@host/x", f"{SECRET}://"):
        with pytest.raises(CvkitError) as failed, History.open(url):
            pass
        shown: list[Any] = [failed.value, *vars(failed.value).values()]
        assert SECRET not in " ".join(map(str, shown)) + caplog.text, url.partition(":")[0]


def test_servers_stay_on_this_machine_with_a_token(tmp_path: Path) -> None:
    given = list(server.arguments(tmp_path, 8888, browser=False, root=False))
    assert "--ServerApp.ip=127.0.0.1" in given
    assert not [one for one in given if any(word in one.lower() for word in ("token", "password", "xsrf", "origin"))]
    assert metrics.ADDRESS.startswith("127.0.0.1:")


def test_ultralytics_asks_nobody(tmp_path: Path) -> None:
    code = (
        f"import pathlib\nfrom cvkit.data import yolo\nyolo.prepare_environment(pathlib.Path({str(tmp_path)!r}))\n"
        "import os, ultralytics.utils as u\nprint(u.ONLINE, u.AUTOINSTALL, os.environ['ULTRALYTICS_SAFE_LOAD'])"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "ULTRALYTICS_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept)
    assert done.stdout.split()[-3:] == ["False", "False", "1"], done.stderr


@pytest.mark.parametrize(
    ("who", "query"), [("cv:SECRET", "password=SECRET&sslpassword=SECRET"), ("cv:x@SECRET", ""), ("cv:SECRET", "")]
)
def test_no_address_of_a_history_tells_a_password(who: str, query: str) -> None:
    url = f"postgresql+psycopg://{who}@127.0.0.1:9/db?{query}"
    with pytest.raises(StorageError) as failure:
        History.open(url)
    assert "SECRET" not in str(failure.value)
    assert "127.0.0.1:9/db" in str(failure.value)


@pytest.mark.parametrize("url", ["nowhere://KEY:SECRET@bucket/x", "s3://KEY:SECRET@bucket/x::file://y"])
def test_no_address_of_a_store_tells_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as failure:
        stores.open_store(url, "--images")
    assert "SECRET" not in str(failure.value)
