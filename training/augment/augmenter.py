"""From a labelled picture to a training picture: placed, mirrored, coloured, worsened, combined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from training.augment.conditions import CONDITIONS, apply_condition
from training.augment.mosaic import make_mosaic, mix_up, scatter
from training.augment.placing import PAD, letterbox, paste, window
from training.augment.transforms import cut_out, flip, turn, vary_colour
from training.dataset import Example
from training.recipe import AugmentSpec

# Share of the pictures with `geometry` that are turned, too: cameras on walls hang straight, most of them.
_TURNED = 0.25


@dataclass(frozen=True)
class Augmenter:
    """Makes training pictures of one size.

    What belongs to the camera (colour, conditions) happens to each picture before it is put onto grey ground or beside
    others: the border stays the grey that the model meets live.

    Attributes:
        spec: what is varied, with probabilities.
        input_wh: size of the result.
    """

    spec: AugmentSpec
    input_wh: tuple[int, int]

    def __call__(
        self, read: Callable[[int], Example], num: int, index: int, rng: np.random.Generator, mosaic: bool = True
    ) -> Example:
        """Make a training picture.

        Args:
            read: gives the picture of an index; it is not written to.
            num: how many pictures there are.
            index: the picture this one is made of; other parts of a mosaic are drawn at random.
            rng: the same state gives the same result.
            mosaic: False leaves out mosaic and MixUp, for the end of training.

        Returns:
            exactly `input_wh`, in pixels of its own; boxes lie inside it. N may be 0.
        """
        if mosaic and rng.random() < self.spec.mosaic:
            indices = [index, *rng.integers(num, size=3).tolist()]
            example = make_mosaic(self.input_wh, lambda k, size_wh: self._part(read(indices[k]), size_wh, rng), rng)
        else:
            example = self._alone(read(index), rng)
        if mosaic and rng.random() < self.spec.mixup:
            example = mix_up(example, self._alone(read(int(rng.integers(num))), rng), rng)
        if rng.random() < self.spec.geometry * _TURNED:
            example = turn(example, rng)
        if rng.random() < self.spec.cutout:
            example = cut_out(example, rng)
        return example

    def _alone(self, example: Example, rng: np.random.Generator) -> Example:
        width, height = self.input_wh
        canvas = np.full((height, width, 3), PAD, np.uint8)
        if rng.random() < self.spec.geometry:
            placed = window(example, self.input_wh, self._scale(example, rng), rng)
            return scatter(canvas, self._vary(placed, rng), (0, 0, width, height), rng)
        return paste(canvas, self._vary(letterbox(example, self.input_wh), rng), 0, 0)

    def _part(self, example: Example, size_wh: tuple[int, int], rng: np.random.Generator) -> Example:
        scale = self._scale(example, rng) if rng.random() < self.spec.geometry else self._letterbox_scale(example)
        return self._vary(window(example, size_wh, scale, rng), rng)

    def _scale(self, example: Example, rng: np.random.Generator) -> float:
        # Even in the logarithm: half the size is as likely as twice the size.
        low, high = np.log(self.spec.scale)
        return self._letterbox_scale(example) * float(np.exp(rng.uniform(low, high)))

    def _letterbox_scale(self, example: Example) -> float:
        return min(wanted / length for wanted, length in zip(self.input_wh, example.size_wh, strict=True))

    def _vary(self, example: Example, rng: np.random.Generator) -> Example:
        if rng.random() < self.spec.flip:
            example = flip(example)
        bgr = example.bgr
        if rng.random() < self.spec.colour:
            bgr = vary_colour(bgr, rng)
        for name in CONDITIONS:
            if name in self.spec.conditions and rng.random() < self.spec.conditions[name]:
                bgr = apply_condition(name, bgr, rng.random(), rng)
        return replace(example, bgr=bgr)
