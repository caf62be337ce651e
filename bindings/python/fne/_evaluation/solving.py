"""How scikit-learn and BLAS are run inside an evaluation: many small problems, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Of one training image per class, scikit-learn asks whether the labels are meant to be numbers.
_ONE_IMAGE_PER_CLASS = "The number of unique classes is greater than 50% of the number of samples"


@contextmanager
def small_problems() -> Iterator[None]:
    """Runs BLAS on one thread, without scikit-learn's checks of its input, and without a warning that does not apply.

    The problems have at most as many rows as there are training rows. On several threads BLAS waits for most of their
    time, and busily. The eigenvalues of 340 rows took 0.5 s of processor time on two cores, and 0.012 s on one. The
    rows come from the evaluation itself, which has checked them.
    """
    from sklearn import config_context
    from threadpoolctl import threadpool_limits

    unchecked = config_context(assume_finite=True, skip_parameter_validation=True)
    with threadpool_limits(1, user_api="blas"), unchecked, warnings.catch_warnings():
        warnings.filterwarnings("ignore", _ONE_IMAGE_PER_CLASS)
        yield
