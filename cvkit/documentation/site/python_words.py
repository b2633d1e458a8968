"""What the docstrings of a module say, as Markdown: read from its source, so that nothing is imported."""

from __future__ import annotations

import ast
import html
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
EXAMPLE = re.compile(r"(?:^>>>.*\n?(?:^(?!\s*$).*\n?)*\n?)+", re.MULTILINE)
SECTION = re.compile(r"^(\w+)\n-+$", re.MULTILINE)  # of numpy's style


def module(name: str, package: Path) -> str:
    """The public functions, classes and methods of a module, such as `cvkit.stats.anomaly`, with what they say.

    `package` is the folder of cvkit.
    """
    path = package.parent.joinpath(*name.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = source.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return "\n\n".join([f"### `{name}`", _said(tree), *_members(tree.body, text.splitlines(), "")])


def _members(body: list[ast.stmt], lines: list[str], within: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield f"#### `{within}{node.name}`\n\n{_code(_signature(node, lines))}\n\n{_said(node)}"
            if isinstance(node, ast.ClassDef):
                yield from _members(node.body, lines, f"{node.name}.")


def _signature(node: Documented, lines: list[str]) -> str:
    """A function's head as it is written; of a class its fields too, with the comments that say what they are."""
    shown = lines[node.lineno - 1 : node.body[0].lineno - 1]
    if isinstance(node, ast.ClassDef):
        fields = (one for one in node.body if isinstance(one, ast.AnnAssign))
        shown += [line for one in fields for line in lines[one.lineno - 1 : one.end_lineno]]
    return textwrap.dedent("\n".join(line.partition("  # type: ")[0] for line in shown)).strip()


def _said(node: ast.Module | Documented) -> str:
    """A docstring, its examples as code."""
    text = SECTION.sub(r"**\1**\n", ast.get_docstring(node) or "")
    return EXAMPLE.sub(lambda match: f"{_code(match[0].rstrip())}\n\n", text)


def _code(text: str) -> str:
    """Code as it is: colours would treble the page, and the time that it takes."""
    return f"<pre><code>{html.escape(text)}</code></pre>"
