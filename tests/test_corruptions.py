"""Corruptions: the same every time, the stronger the higher the severity, and labels that are covered go."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cvkit import demo_world
from cvkit.data import corruptions

PICTURE = demo_world.frame(5, "cam-1", demo_world.FIRST_DAY, 0).picture
EVERY = [(family, severity) for family in corruptions.FAMILIES for severity in corruptions.SEVERITIES]


@pytest.mark.parametrize(("family", "severity"), EVERY)
def test_a_corruption_is_seeded_and_leaves_its_picture_alone(family: str, severity: int) -> None:
    before = PICTURE.copy()
    one, again = (corruptions.corrupt(PICTURE, family, severity, seed=3) for _ in range(2))
    assert np.array_equal(PICTURE, before)
    assert np.array_equal(one, again)
    assert (one.shape, one.dtype) == (PICTURE.shape, np.uint8)
    assert not np.array_equal(one, PICTURE)


@pytest.mark.parametrize("family", corruptions.FAMILIES)
def test_a_higher_severity_is_further_from_the_picture(family: str) -> None:
    apart = [
        np.abs(corruptions.corrupt(PICTURE, family, severity).astype(float) - PICTURE).mean()
        for severity in corruptions.SEVERITIES
    ]
    assert apart == sorted(apart)


def test_corruptions_do_what_they_are_named_for() -> None:
    done = {family: corruptions.corrupt(PICTURE, family, 2).astype(float) for family in corruptions.FAMILIES}
    assert done["darkness"].mean() == pytest.approx(PICTURE.mean() / 4, abs=1)
    assert done["brightness"].mean() == pytest.approx(PICTURE.mean() + 0.65 * (255 - PICTURE.mean()), abs=1)
    assert done["contrast"].std(axis=(0, 1)) == pytest.approx(PICTURE.std(axis=(0, 1)) / 4, abs=0.5)
    assert done["contrast"].mean() == pytest.approx(PICTURE.mean(), abs=1)
    grey = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2GRAY)
    blurred = cv2.cvtColor(done["blur"].astype(np.uint8), cv2.COLOR_BGR2GRAY)
    assert cv2.Laplacian(blurred, cv2.CV_64F).var() < cv2.Laplacian(grey, cv2.CV_64F).var()


def test_occlusion_covers_what_it_says() -> None:
    for severity, share in zip(corruptions.SEVERITIES, (0.1, 0.25, 0.45), strict=True):
        mask = corruptions.covered(PICTURE.shape, severity, seed=7)
        assert share <= mask.mean() <= share + 0.07
        hidden = corruptions.corrupt(PICTURE, "occlusion", severity, seed=7)
        assert (hidden[mask] == corruptions.GREY).all()
        assert np.array_equal(hidden[~mask], PICTURE[~mask])


def test_labels_go_where_half_of_their_box_is_covered() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[:, :50] = True
    boxes = [[0, 0, 40, 40], [30, 0, 70, 40], [31, 0, 71, 40], [60, 0, 90, 40], [99.8, 99.8, 99.9, 99.9]]
    assert corruptions.visible(boxes, mask).tolist() == [False, False, True, True, True]
    assert corruptions.visible(np.zeros((0, 4)), mask).tolist() == []


def test_what_there_is_not_is_refused() -> None:
    for wrong in (("rain", 1), ("blur", 4)):
        with pytest.raises(ValueError, match="families are"):
            corruptions.corrupt(PICTURE, *wrong)
