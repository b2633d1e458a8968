"""`python -m benchmarks [NAME ...]`: one JSON object a line for each figure; `--list` names the benchmarks."""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import json
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The benchmarks: every module of this folder."""
    return sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.name.startswith("_"))


def purpose(name: str) -> str:
    """First line of a benchmark's docstring; read, not imported, as some import much."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure cvkit against peers and limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run; all where none is named")
    parser.add_argument("--list", action="store_true", help="say which there are")
    options = parser.parse_args(arguments)
    known = names()
    if unknown := [name for name in options.names if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        parser.error(f"no benchmark {unknown[0]!r}{hint} There are: {', '.join(known)}")
    if options.list:
        print("\n".join(f"{name:12} {purpose(name)}" for name in known))
        return 0
    for name in options.names or known:
        for figure in importlib.import_module(f"benchmarks.{name}").run():
            print(json.dumps(asdict(figure)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
