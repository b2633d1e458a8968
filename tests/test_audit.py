"""`python -m tools.audit`: never says that all is well where nobody was asked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools import audit

SOUND = {"name": "a", "version": "1", "vulns": []}
FAULT = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": ["CVE-1"], "description": ""}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What uv is called with; it is there."""
    monkeypatch.setattr(audit.shutil, "which", lambda name: f"/bin/{name}")
    return []


def answer(monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, ...]], code: int, out: str, words: str = "") -> None:
    def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, code, out, words)

    monkeypatch.setattr(audit, "_uv", uv)


@pytest.mark.parametrize(("looked_at", "code", "words"), [
    ([SOUND], 0, "1 packages were looked at, 0 faults"),
    ([SOUND, {"name": "b", "version": "1", "vulns": [FAULT]}], 1, "b 1: PYSEC-1 (CVE-1); mended in 2"),
    ([SOUND, {"name": "b", "skip_reason": "not found"}], 2, "1 were not, such as b: not found"),
    ([{"name": "b", "skip_reason": "not found"}], 2, "cannot be reached: nothing was looked at"),
])  # fmt: skip
def test_the_exit_code_says_what_is_known(
    looked_at: list[Any], code: int, words: str, asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    answer(monkeypatch, asked, 1, json.dumps({"dependencies": looked_at, "fixes": []}))
    assert audit.main([]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert str(audit.ROOT / "constraints.txt") in asked[0]


@pytest.mark.parametrize(("words", "told"), [
    ("requests.exceptions.ConnectionError: HTTPSConnectionPool", "cannot be reached: nothing was looked at"),
    ("error: unexpected argument", "it did not work"),
])  # fmt: skip
def test_without_an_answer_nothing_is_well(
    words: str, told: str, asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    answer(monkeypatch, asked, 1, "", words)
    assert audit.main([]) == 2
    assert audit.main(["--sbom", str(tmp_path / "sbom.json")]) == 2
    assert capsys.readouterr().err.count(told) == 2


def test_without_uv_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(audit.shutil, "which", lambda name: None)
    assert audit.main([]) == 2
    assert "uv is not installed" in capsys.readouterr().err
