"""Colours that people with any colour vision tell apart (Okabe and Ito, 2008)."""

from __future__ import annotations

BLUE = "#0072B2"
ORANGE = "#D55E00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#E69F00"
PURPLE = "#CC79A7"
INK = "#1b1f24"
GREY = "#6b7280"
PALE = "#d9dde3"

TRAIN, VALIDATION, RIGHT, WRONG = ORANGE, BLUE, BLUE, ORANGE

# By operation, in the order of `cost.OPERATIONS`.
OPERATIONS = (BLUE, ORANGE, PURPLE, SKY, GREEN, YELLOW)

# Steps of the confusion matrix on the page: a share below the bound has the level of its index.
LEVELS = (0.05, 0.10, 0.20, 0.40, 0.60, 0.80)
