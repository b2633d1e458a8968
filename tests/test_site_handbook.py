"""The help pages of a workspace's site, which come from the project's documentation."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

import cvkit
from cvkit.documentation.site import handbook, python_words
from cvkit.storage import PACKAGE, packaged

PAGES = dict(handbook.pages())
PYTHON = (packaged("docs") / "reference" / "python.md").read_text(encoding="utf-8")
MODULES = re.findall(r"^::: ([\w.]+)$", PYTHON, re.MULTILINE)


def test_every_page_stands_for_itself() -> None:
    for address, text in PAGES.items():
        assert text.startswith("# "), address
        assert "--8<--" not in text
        assert ":::" not in text
        for target in re.findall(r"\]\(([^):\s]+\.md)", text):
            assert f"{handbook.FOLDER}/{target}" in PAGES, (address, target)


@pytest.mark.parametrize("name", MODULES)
def test_what_python_itself_knows_of_a_module_is_there(name: str) -> None:
    text, module = python_words.module(name, PACKAGE), importlib.import_module(name)
    public = {
        key: inspect.unwrap(member)
        for key, member in vars(module).items()
        if not key.startswith("_") and getattr(member, "__module__", "") == name
        and (inspect.isfunction(inspect.unwrap(member)) or inspect.isclass(member))
    }  # fmt: skip
    told = dict(re.findall(r"^#### `(\w+)`\n\n<pre><code>(.*?)</code></pre>$", text, re.MULTILINE | re.DOTALL))
    assert set(told) == set(public)
    for key, member in public.items():
        first = (inspect.getdoc(member) or "").partition("\n")[0]
        assert first in text, key
        if inspect.isfunction(member):
            assert all(argument in told[key] for argument in inspect.signature(member).parameters), key


def test_the_main_names_are_there() -> None:
    page = PAGES["help/python.md"]
    assert MODULES
    for name in cvkit.__all__:
        assert f"`{name}`" in page, name
    assert page.count("<pre>") == page.count("</pre>") > 200


def test_examples_are_code_and_fields_keep_what_they_mean() -> None:
    text = python_words.module("cvkit.stats.change.drift", PACKAGE)
    assert "<pre><code>&gt;&gt;&gt; round(ks([1, 2, 3], [3, 4, 5]).statistic, 3)\n0.667</code></pre>" in text
    assert "    n: int  # current values used" in text
    assert "\n>>>" not in text
