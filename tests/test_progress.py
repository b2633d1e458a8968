"""Progress: silent while work is short, and a line now and then where there is no terminal."""

import pytest

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
