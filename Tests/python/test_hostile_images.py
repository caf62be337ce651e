"""Small files that ask for much work: they are refused, or they are read and the count of their work is in bounds."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from hostile_images import ALLOWED, cases

import fne

CASES = cases()
TOLERANT = fne.ImageOptions(tolerate_truncation=True)


@pytest.mark.parametrize("name", CASES)
def test_small_files_that_ask_for_much_work(name):
    case = CASES[name]
    data = case.data()
    assert len(data) < 1_000_000
    try:
        image = fne.read_image(data)
    except fne.ImageError as error:
        assert case.error is not None, f"{error}"
        assert re.search(case.error, str(error)), f"{error}"
        counted = re.search(r"goes through (\d+) bytes, more than the limit of (\d+) for a file of (\d+)", str(error))
        if counted:
            work, most, size = map(int, counted.groups())
            assert work > most == ALLOWED and size == len(data)
            assert case.work is None or work <= case.work, "it stops at the scan that is too much"
        return
    assert case.error is None or re.search(case.error, "read")
    assert image.shape == (*case.size, 3)
    assert case.work is None or case.work <= ALLOWED
    if case.grey is None:
        np.testing.assert_array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    else:
        assert image.min() == image.max() == case.grey


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.error and "last row" in case.error])
def test_of_surplus_only_the_picture_is_taken_where_damage_is_tolerated(name):
    image = fne.read_image(CASES[name].data(), options=TOLERANT)
    assert image.shape[1:] == (16, 3) and not image.any()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.error and "max_" in case.error])
def test_limits_hold_where_damage_is_tolerated(name):
    with pytest.raises(fne.ImageError, match=CASES[name].error):
        fne.read_image(CASES[name].data(), options=TOLERANT)


def test_a_limit_can_be_raised():
    """By the option that the message names."""
    refused = CASES["PNG: transparent grey of 1 bit, too large"].data()
    assert not fne.read_image(refused, options=fne.ImageOptions(max_expansion=276)).any()
    long = CASES["PNG: 65,536 rows"].data()
    assert fne.read_image(long, options=fne.ImageOptions(max_side=65_536)).shape == (65_536, 1, 3)
    with pytest.raises(fne.ImageError, match=r"through \d+ bytes, more than the limit of 5242880 for"):
        fne.read_image(refused, options=fne.ImageOptions(max_expansion=5))
