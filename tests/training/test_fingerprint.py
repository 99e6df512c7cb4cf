from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import SourceError
from tests.training.photos import patches, write_photo
from training.fingerprint import file_digest, groups, is_cut_off, looks, near_pairs


def test_worse_copies_look_alike_and_other_pictures_do_not(tmp_path: Path) -> None:
    original = patches(0, (320, 240))
    variants = {
        "original.png": original,
        "half.png": cv2.resize(original, (160, 120), interpolation=cv2.INTER_AREA),
        "dark.png": (original * 0.6).astype(np.uint8),
        "other.png": patches(1, (320, 240)),
    }
    for name, bgr in variants.items():
        assert cv2.imwrite(str(tmp_path / name), bgr)
    assert cv2.imwrite(str(tmp_path / "coarse.jpg"), original, [cv2.IMWRITE_JPEG_QUALITY, 30])
    names = [*variants, "coarse.jpg"]
    pairs = near_pairs([looks(tmp_path / name) for name in names])
    assert groups(5, pairs).tolist() == [0, 0, 0, 1, 0]


def test_a_plain_surface_looks_like_nothing(tmp_path: Path) -> None:
    for name, level in (("black.png", 0), ("grey.png", 128)):
        assert cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), level, np.uint8))
    prints = [looks(tmp_path / name) for name in ("black.png", "grey.png", "black.png")]
    assert prints == [None, None, None]
    assert near_pairs(prints).shape == near_pairs([]).shape == (0, 2)


def test_every_pair_is_compared_as_by_hand() -> None:
    rng = np.random.default_rng(3)
    table = rng.integers(0, 2**62, (40, 2), dtype=np.uint64)
    table[20:] = table[:20] ^ (np.uint64(1) << rng.integers(0, 62, (20, 2)).astype(np.uint64))
    expected = [
        [a, b]
        for a in range(40)
        for b in range(a + 1, 40)
        if sum(bin(x).count("1") for x in (table[a] ^ table[b]).tolist()) <= 2
    ]
    assert near_pairs(list(table), near_bits=2).tolist() == expected
    assert len(expected) == 20


def test_groups_follow_chains() -> None:
    assert groups(5, np.array([[0, 3], [3, 4]], np.intp)).tolist() == [0, 1, 2, 0, 0]
    assert groups(2, np.zeros((0, 2), np.intp)).tolist() == [0, 1]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_file_without_its_end_is_cut_off(tmp_path: Path, name: str) -> None:
    path = write_photo(tmp_path / name, size_wh=(200, 200))
    whole = path.read_bytes()
    assert not is_cut_off(path)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert is_cut_off(path)
    path.write_bytes(whole + b"phones append data" * (len(name) > 5))
    assert not is_cut_off(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=r"a.jpg: not an image that can be read"):
        looks(tmp_path / "a.jpg")
    with pytest.raises(SourceError, match=r"b.jpg: cannot be read: No such file"):
        file_digest(tmp_path / "b.jpg")
