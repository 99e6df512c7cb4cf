"""Augmentation: what training varies in its pictures, and the production conditions that evaluation tries too."""

from training.augment.augmenter import Augmenter
from training.augment.conditions import CONDITIONS, Condition, apply_condition

__all__ = ["CONDITIONS", "Augmenter", "Condition", "apply_condition"]
