"""The two thresholds that turn a standardized feature into a ternary code.

A feature x is first standardized: z = (x - mean) / deviation, where mean and deviation are those of the feature over a
data set. Its code is then

    -1 where z is below the lower threshold: the feature is unusually weak, so the image lacks what it stands for;
     1 where z is above the upper threshold: the feature is unusually strong, so the image has it;
     0 in between: the feature says nothing about the image.

The defaults are those of Garcia-Gasulla et al. (ICBK 2018, arXiv:1705.07706). Accuracy depends little on them:
docs/results.md has a grid.
"""

from __future__ import annotations

#: Codes are -1 below it.
LOWER = -0.25

#: Codes are 1 above it.
UPPER = 0.15

#: The grid of `fne.threshold_study`, of `fne evaluate --thresholds` and of docs/results.md.
LOWERS = (-1.0, -0.5, LOWER, -0.1, 0.0)
UPPERS = (0.0, UPPER, 0.3, 0.5, 1.0)
