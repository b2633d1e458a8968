"""Progress: silent while work is short, a line now and then where there is no terminal, a bar where one looks on."""

import sys
from types import SimpleNamespace

import pytest
import tqdm.auto

from cvkit import progress


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("reading", "image") as show:
        for done in range(1, 1001):
            show(done, 1000)
    assert capsys.readouterr() == ("", "")


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("reading", "image", every_s=0) as show:
        show(1, 1500)
        show(1500, 1500)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["reading: 1 of 1,500 images", "reading: 1,500 of 1,500 images"]


@pytest.mark.parametrize(("report", "shown"), [("", [(3, 10), (10, 10)]), ("1", [])])
def test_a_notebook_has_a_bar_and_a_report_has_none(
    report: str, shown: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []

    class Bar:
        def __init__(self, desc: str, unit: str, leave: bool) -> None:
            assert (desc, unit, leave) == ("measuring", "image", False)
            self.n, self.total = 0, 0

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, more: int) -> None:
            self.n += more
            told.append((self.n, self.total))

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.setenv("TQDM_DISABLE", report)
    with progress.bar("measuring", "image") as show:
        show(3, 10)
        show(10, 10)
    assert told == shown
    assert capsys.readouterr().err == ""
