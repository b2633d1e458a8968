"""Audit what cvkit stands on: `python -m tools.audit` asks for known faults, `--sbom FILE` writes what there is.

pip-audit and cyclonedx-py are run by uv, each in an environment of its own, so that neither is a dependency. What is
looked at are the versions of `constraints.txt`, that were tested together, or with `--here` those of this environment.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
AUDIT, SBOM = "pip-audit>=2.9,<3", "cyclonedx-bom>=7,<8"
UNREACHABLE = ("ConnectionError", "Max retries", "ConnectTimeout", "Failed to fetch", "dns error", "NewConnectionError",
               "ServiceError", "ConnectionResetError", "Could not connect", "client error (Connect)")  # fmt: skip
FAULTS, NOT_ASKED = 1, 2  # exit codes: something is known to be wrong; nobody could be asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.audit", description=__doc__.partition("\n")[0])
    parser.add_argument("--here", action="store_true", help="the packages of this environment, not of constraints.txt")
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write an SBOM (CycloneDX 1.6, JSON), ask nobody")
    parser.add_argument(
        "--service", choices=("pypi", "osv"), default="pypi", help="who is asked (default: %(default)s)"
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="ID", help="a fault that is known and borne")
    options = parser.parse_args(arguments)
    if shutil.which("uv") is None:
        print("uv is not installed: see https://docs.astral.sh/uv", file=sys.stderr)
        return NOT_ASKED
    with tempfile.TemporaryDirectory() as folder:
        listed = _listed(Path(folder), here=options.here)
        return _sbom(listed, options.sbom) if options.sbom else _audit(listed, options.service, options.ignore)


def _listed(folder: Path, *, here: bool) -> Path:
    """A file of packages and their versions."""
    if not here:
        return ROOT / "constraints.txt"
    frozen = _uv("pip", "freeze", "--python", sys.executable, "--exclude-editable")
    file = folder / "requirements.txt"
    file.write_text("\n".join(line for line in frozen.stdout.splitlines() if "==" in line), encoding="utf-8")
    return file


def _audit(listed: Path, service: str, ignored: Sequence[str]) -> int:
    ignore = [word for one in ignored for word in ("--ignore-vuln", one)]
    done = _uv(
        "tool", "run", "--from", AUDIT, "pip-audit", "--no-deps", "--disable-pip", "--format", "json",
        "--progress-spinner", "off", "--vulnerability-service", service, "--requirement", str(listed), *ignore,
    )  # fmt: skip
    try:
        looked_at = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return _not_asked(done.stderr)
    faults = [(one["name"], one["version"], fault) for one in looked_at for fault in one.get("vulns", [])]
    for name, version, fault in faults:
        mended = ", ".join(fault["fix_versions"]) or "no version yet"
        print(f"{name} {version}: {fault['id']} ({', '.join(fault['aliases'])}); mended in {mended}")
    skipped = [f"{one['name']}: {one['skip_reason']}" for one in looked_at if "skip_reason" in one]
    print(f"{len(looked_at) - len(skipped)} packages were looked at, {len(faults)} faults are known")
    if skipped:  # what was not looked at is not sound
        print(f"{len(skipped)} were not, such as {skipped[0]}", file=sys.stderr)
        if len(skipped) == len(looked_at):
            _not_asked(UNREACHABLE[0])
    return FAULTS if faults else NOT_ASKED if skipped else 0


def _sbom(listed: Path, file: Path) -> int:
    done = _uv(
        "tool", "run", "--from", SBOM, "cyclonedx-py", "requirements", str(listed), "--sv", "1.6", "--of", "JSON",
        "--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "-o", str(file.absolute()),
    )  # fmt: skip
    if done.returncode:
        return _not_asked(done.stderr)
    print(f"{len(json.loads(file.read_text(encoding='utf-8'))['components'])} packages are in {file}")
    return 0


def _not_asked(words: str) -> int:
    away = any(word in words for word in UNREACHABLE)
    print("the service that knows of faults, or the registry of packages, cannot be reached: nothing was looked at"
          if away else f"it did not work:\n{words.strip()[-2000:]}", file=sys.stderr)  # fmt: skip
    return NOT_ASKED


def _uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["uv", *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
