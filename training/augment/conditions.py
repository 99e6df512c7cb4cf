"""Production conditions: what a camera outdoors goes through, each with a strength from 0 to 1.

One definition for training, robustness evaluation and drift tests. 0 changes no pixel, 0.5 is a case that every site
meets within a year, 1 is the worst that is still worth looking at; effects grow steadily in between. Lengths scale
with the picture's shorter side, so that a strength means the same at any size; the grain of noise and the blocks of
compression are pixels, as they are in a camera.

They are plain numpy and OpenCV, and not a library's transforms: none of those is continuous in one strength and leaves
the picture alone at 0, and figures by condition must not move when a library does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from engine.errors import UsageError
from engine.load import did_you_mean
from engine.picture import Pixels
from training.augment.lens import camera_shake, defocus, lens_dirt, motion_blur
from training.augment.light import dusk, night, overexposed
from training.augment.sensor import color_cast, compression, sensor_noise
from training.augment.weather import fog, rain

Effect = Callable[[Pixels, float, np.random.Generator, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Condition:
    """One production condition.

    Attributes:
        name: in recipes and on the command line.
        text: what it does, for people.
        effect: `(bgr, strength, scene, rng) -> bgr`; strength is above 0; `scene` decides what stays the same along a
            video, `rng` what differs from frame to frame.
    """

    name: str
    text: str
    effect: Effect

    def apply(self, bgr: Pixels, strength: float, rng: np.random.Generator, scene: int | None = None) -> Pixels:
        """Apply it to a picture: see `apply_condition`."""
        if not 0 <= strength <= 1:
            raise ValueError(f"strength: must be from 0 to 1, got {strength:g}")
        if strength == 0:
            return bgr
        scene_rng = np.random.default_rng(int(rng.integers(2**63)) if scene is None else scene)
        return self.effect(bgr, strength, scene_rng, rng)


# In the order in which light meets them: several on one picture are applied from top to bottom.
CONDITIONS: Mapping[str, Condition] = MappingProxyType({
    condition.name: condition
    for condition in (
        Condition("night", "dark outside of a few pools of light, pale and bluish, noisy", night),
        Condition("dusk", "dim, flat, blue shadows under a warm or a blue sky", dusk),
        Condition("fog", "contrast lost in bright haze, most of it far away: at the top", fog),
        Condition("rain", "streaks and a grey veil", rain),
        Condition("lens_dirt", "blurred dark and bright patches that stay where they are", lens_dirt),
        Condition("defocus", "every point becomes a disc", defocus),
        Condition("motion_blur", "every point becomes a line, all in one direction", motion_blur),
        Condition("camera_shake", "shifted, turned and smeared a little, otherwise in each frame", camera_shake),
        Condition("overexposed", "too bright: clipped highlights, lifted shadows, pale colours", overexposed),
        Condition("sensor_noise", "grain, more of it where it is bright, and blotches of colour", sensor_noise),
        Condition("color_cast", "white balance off, grey is no longer grey", color_cast),
        Condition("compression", "blocks and ringing of a low bit rate", compression),
    )
})  # fmt: skip


def apply_condition(
    name: str, bgr: Pixels, strength: float, rng: np.random.Generator, scene: int | None = None
) -> Pixels:
    """Show what a camera would have given under a condition.

    Boxes stay where they are: only `camera_shake` moves pixels, by at most 1 % of the shorter side at strength 1.

    Args:
        name: a key of `CONDITIONS`.
        bgr: uint8 (h, w, 3), any size; not written to.
        strength: 0 to 1.
        rng: the same state gives the same pixels.
        scene: seed of what stays the same along a video, such as where the dirt is; give all its frames the same one.
            None draws it from `rng`.

    Returns:
        uint8 (h, w, 3); `bgr` itself at strength 0.

    Raises:
        UsageError: an unknown condition.
        ValueError: a strength that is not from 0 to 1.
    """
    condition = CONDITIONS.get(name)
    if condition is None:
        raise UsageError(f"unknown condition '{name}'{did_you_mean(name, CONDITIONS)}")
    return condition.apply(bgr, strength, rng, scene)
