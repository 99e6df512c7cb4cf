"""Augmentation: what training varies, production conditions for evaluation, and incidents for drift tests."""

from training.augment.augmenter import Augmenter
from training.augment.conditions import CONDITIONS, Condition, apply_condition

__all__ = ["CONDITIONS", "Augmenter", "Condition", "apply_condition"]
