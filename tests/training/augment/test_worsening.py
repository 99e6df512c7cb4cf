from __future__ import annotations

import numpy as np
import pytest

from engine.errors import UsageError
from engine.picture import Pixels
from training.augment.conditions import CONDITIONS, apply_condition
from training.augment.incidents import INCIDENTS, apply_incident
from training.augment.worsening import FROZEN, WORSENINGS, Stretch, Worsening


def picture(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (24, 40, 3), np.uint8)


def test_every_condition_and_incident_has_its_place_once() -> None:
    assert sorted(WORSENINGS) == sorted([*CONDITIONS, *INCIDENTS, FROZEN])


def test_fog_hangs_before_the_cover_and_dirt_behind_it() -> None:
    assert WORSENINGS.index("fog") < WORSENINGS.index("covered") < WORSENINGS.index("lens_dirt")


def test_several_are_applied_in_the_order_of_light_whatever_the_order_given() -> None:
    worse = Worsening(["compression", "fog", "covered"], 0.5, seed=4)(picture(0), 7)

    rng = np.random.default_rng((4, 7))
    foggy = apply_condition("fog", picture(0), 0.5, rng, scene=4)
    hidden = apply_incident("covered", foggy, 0.5, rng, scene=4)
    assert np.array_equal(worse, apply_condition("compression", hidden, 0.5, rng, scene=4))


def test_a_frozen_picture_stays_and_thaws() -> None:
    worsen = Worsening(["frozen"], 1.0, seed=0)
    shown = [worsen(picture(k), k, share) for k, share in enumerate((0.0, 1.0, 1.0, 0.0, 1.0))]

    assert [next(k for k in range(5) if np.array_equal(bgr, picture(k))) for bgr in shown] == [0, 1, 1, 3, 4]


@pytest.mark.parametrize(("strength", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_of_it_changes_no_pixel(strength: float, share: float) -> None:
    assert np.array_equal(Worsening(WORSENINGS, strength, seed=0)(picture(1), 0, share), picture(1))


def test_the_share_scales_the_strength() -> None:
    half = Worsening(["fog"], 1.0, seed=2)(picture(1), 0, 0.5)

    assert np.array_equal(half, Worsening(["fog"], 0.5, seed=2)(picture(1), 0))


@pytest.mark.parametrize(
    ("names", "said"), [([], "names no condition; known: moved"), (["fgo"], r"unknown condition 'fgo' \(did you mean")]
)
def test_names_must_be_known(names: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Worsening(names, 0.5, seed=0)


def test_a_stretch_comes_and_goes() -> None:
    sudden, slow = Stretch(10, 20), Stretch(10, 20, ramp_s=4)

    assert [sudden.share(at) for at in (9.9, 10, 19.9, 20)] == [0, 1, 1, 0]
    assert [slow.share(at) for at in (9, 10, 11, 15, 19, 20)] == [0, 0, 0.25, 1, 0.25, 0]
    assert Stretch().share(1e9) == 1
