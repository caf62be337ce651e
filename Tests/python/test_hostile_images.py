"""Small files that ask for much work: they are refused, or they are read and the count of their work is in bounds."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from hostile_images import ALLOWED, cases

import fne

CASES = cases()


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
