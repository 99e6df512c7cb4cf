"""What is normal for one camera: how its pictures usually are, now and at this hour, and how much they vary by nature.

Time is cut into blocks; of each only quantiles are kept. How far one block of normal life is from the others is the
yardstick for the present: a camera that sees headlights needs a larger change than one in a store room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.drift.distance import LEVELS, MIDDLE, Values, natural_deviation, quantiles, wasserstein
from engine.drift.scale import LEAST
from engine.drift.scene import Scene
from engine.picture import Pixels

RECENT_BLOCKS = 60
HOUR_BLOCKS = 40
# A block an hour's history gets of so many: neighbours say the same.
_HOUR_EVERY = 3
# History of an hour counts from so many blocks on, and only that of other days: the present must not be its own judge.
_MIN_HOUR_BLOCKS = 5
_OTHER_DAY_S = 12 * 3600.0
_THUMBNAILS = 36
_HOUR_THUMBNAILS = 9
_NUM = len(LEAST)

ASSUMED: Values = 0.12 * LEAST
"""Natural deviation of a camera's minutes of which nothing is known yet."""


@dataclass(frozen=True, eq=False)
class Block:
    """A stretch of samples.

    Attributes:
        quantiles: float32 (len(LEVELS), s), on the scale of `to_scale`.
        unix_s: when.
        hour: of the day in UTC, or -1 where the clock knows none.
    """

    quantiles: NDArray[np.float32]
    unix_s: float
    hour: int

    @classmethod
    def of(cls, samples: Values, unix_s: float, hour: int) -> Block:
        """Sum up (n, s) samples."""
        return cls(quantiles(samples).astype(np.float32), unix_s, hour)


@dataclass(frozen=True, eq=False)
class Profile:
    """What one set of blocks says.

    Attributes:
        quantiles: (len(LEVELS), s) of all of them together.
        natural: (s,), standard deviation of the Wasserstein distance of blocks from the whole.
        limit: (s,), distance that a block of normal life passes once in a million.
        spread: (s,), standard deviation of single samples, from the middle eight tenths.
        num_blocks: how many there are.
    """

    quantiles: Values
    natural: Values
    limit: Values
    spread: Values
    num_blocks: int

    @classmethod
    def of(cls, blocks: Sequence[Block], assumed: Values) -> Profile:
        """Sum up blocks; `assumed` is their natural deviation as long as there are few of them."""
        each = np.stack([block.quantiles for block in blocks]).astype(np.float64)
        whole = quantiles(each.reshape(-1, each.shape[-1]))
        distances = np.stack([wasserstein(block, whole) for block in each])
        natural, limit = natural_deviation(distances, assumed)
        return cls(whole, natural, limit, (whole[-2] - whole[1]) / 2.56, len(blocks))

    @property
    def median(self) -> Values:
        """(s,)."""
        return np.asarray(self.quantiles[MIDDLE])


class Normal:
    """Blocks of normal life, the latest and those of each hour, and what stands still in the view."""

    def __init__(self, prior: Values | None = None) -> None:
        self._assumed = ASSUMED if prior is None else np.maximum(ASSUMED, prior)
        self._recent: deque[Block] = deque(maxlen=RECENT_BLOCKS)
        self._by_hour: dict[int, deque[Block]] = {}
        self._thumbnails: deque[Pixels] = deque(maxlen=_THUMBNAILS)
        self._hour_thumbnails: dict[int, deque[Pixels]] = {}
        self._previews: dict[int, bytes] = {}
        self._num_added = 0
        self._profiles: dict[tuple[str, int], Profile] = {}
        self._scenes: dict[tuple[str, int], Scene] = {}

    def __len__(self) -> int:
        return self._num_added

    @property
    def hours(self) -> tuple[int, ...]:
        """Hours of the day with enough history."""
        return tuple(sorted(hour for hour, blocks in self._by_hour.items() if len(blocks) >= _MIN_HOUR_BLOCKS))

    def add(self, block: Block, thumbnails: Sequence[Pixels], preview: bytes | None) -> None:
        """Learn a block of normal life, with thumbnails of it."""
        self._recent.append(block)
        self._learn_scene(self._thumbnails, thumbnails[:: max(1, len(thumbnails) // 3)])
        if preview is not None:
            self._previews[-1] = preview
        if self._num_added % _HOUR_EVERY == 0:
            self.add_to_hour(block, thumbnails, preview)
        self._num_added += 1
        self._profiles.pop(("recent", 0), None)
        self._scenes.pop(("recent", 0), None)

    def add_to_hour(self, block: Block, thumbnails: Sequence[Pixels], preview: bytes | None) -> None:
        """Learn a block as what is usual at its hour only; nothing where the hour is not known."""
        if block.hour < 0:
            return
        self._by_hour.setdefault(block.hour, deque(maxlen=HOUR_BLOCKS)).append(block)
        slot = self._hour_thumbnails.setdefault(block.hour, deque(maxlen=_HOUR_THUMBNAILS))
        self._learn_scene(slot, thumbnails[:: max(1, len(thumbnails) // 2)])
        if preview is not None:
            self._previews[block.hour] = preview
        self._profiles = {key: value for key, value in self._profiles.items() if key[0] != "hour"}
        self._scenes.pop(("hour", block.hour), None)

    def adopt(self, other: Normal) -> None:
        """Take over what another has learnt of the hours."""
        for hour, blocks in other._by_hour.items():
            self._by_hour.setdefault(hour, deque(maxlen=HOUR_BLOCKS)).extend(blocks)
        for hour, thumbnails in other._hour_thumbnails.items():
            slot = self._hour_thumbnails.setdefault(hour, deque(maxlen=_HOUR_THUMBNAILS))
            self._learn_scene(slot, list(thumbnails))
        self._previews = {**self._previews, **{h: p for h, p in other._previews.items() if h >= 0}}
        self._profiles, self._scenes = {}, {}

    def profiles(self, hour: int, unix_s: float) -> list[Profile]:
        """Give what the present may be like: the latest blocks, and those of this hour of other days."""
        out = []
        if self._recent:
            out.append(self._profile(("recent", 0), self._recent))
        if hour >= 0:
            # The day count is part of the key: today's blocks become another day's tomorrow.
            key = ("hour", hour * 100_000 + int(unix_s // _OTHER_DAY_S))
            found = self._profiles.get(key)
            if found is None:
                near = [b for h in (hour - 1, hour, hour + 1) for b in self._by_hour.get(h % 24, ())]
                other = [b for b in near if abs(unix_s - b.unix_s) > _OTHER_DAY_S]
                if len(other) >= _MIN_HOUR_BLOCKS:
                    found = self._profile(key, other)
            if found is not None:
                out.append(found)
        return out

    def scenes(self, hour: int, shape: tuple[int, ...]) -> list[Scene]:
        """Give what may stand still in the view, as thumbnails of this shape: of late, and at this hour."""
        out = []
        for key, thumbnails in ((("recent", 0), self._thumbnails), (("hour", hour), self._hour_thumbnails.get(hour))):
            if thumbnails and thumbnails[-1].shape == shape:
                if key not in self._scenes:
                    self._scenes[key] = Scene([t for t in thumbnails if t.shape == shape])
                out.append(self._scenes[key])
        return out

    def preview(self, hour: int) -> bytes | None:
        """Give a picture of normal life, of this hour where there is one."""
        return self._previews.get(hour, self._previews.get(-1))

    def _profile(self, key: tuple[str, int], blocks: Iterable[Block]) -> Profile:
        if key not in self._profiles:
            self._profiles[key] = Profile.of(list(blocks), self._assumed)
        return self._profiles[key]

    @staticmethod
    def _learn_scene(known: deque[Pixels], thumbnails: Sequence[Pixels]) -> None:
        if known and thumbnails and known[-1].shape != thumbnails[-1].shape:
            # Another resolution or turned by ninety degrees: nothing compares.
            known.clear()
        known.extend(t for t in thumbnails if t.shape == thumbnails[-1].shape)

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give arrays and facts to store."""
        hours = sorted(self._by_hour)
        blocks = [*self._recent, *(b for h in hours for b in self._by_hour[h])]
        arrays: dict[str, NDArray[Any]] = {
            "quantiles": np.stack([b.quantiles for b in blocks]) if blocks else np.zeros((0, len(LEVELS), _NUM)),
            "unix_s": np.array([b.unix_s for b in blocks], np.float64),
            "hour": np.array([b.hour for b in blocks], np.int32),
        }
        for name, slot in (("recent", self._thumbnails), *((str(h), s) for h, s in self._hour_thumbnails.items())):
            if slot:
                arrays[f"thumbnails_{name}"] = np.stack(slot)
        for hour, preview in self._previews.items():
            arrays[f"preview_{hour}"] = np.frombuffer(preview, np.uint8)
        return arrays, {"num_recent": len(self._recent), "num_added": self._num_added}

    @classmethod
    def unpack(
        cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], prior: Values | None = None
    ) -> Normal:
        """Undo `pack`.

        Raises:
            KeyError, ValueError, TypeError: this is not what `pack` gave.
        """
        out = cls(prior)
        if arrays["quantiles"].shape[1:] != (len(LEVELS), _NUM) or np.isinf(arrays["quantiles"]).any():
            raise ValueError(f"quantiles: no finite numbers of the shape {(len(LEVELS), _NUM)}")
        blocks = [
            Block(q.astype(np.float32), float(t), int(h))
            for q, t, h in zip(arrays["quantiles"], arrays["unix_s"], arrays["hour"], strict=True)
        ]
        recent = int(facts["num_recent"])
        out._recent.extend(blocks[:recent])
        for block in blocks[recent:]:
            out._by_hour.setdefault(block.hour, deque(maxlen=HOUR_BLOCKS)).append(block)
        for name, array in arrays.items():
            kind, _, of = name.partition("_")
            if kind == "thumbnails":
                slot = (
                    out._thumbnails
                    if of == "recent"
                    else out._hour_thumbnails.setdefault(int(of), deque(maxlen=_HOUR_THUMBNAILS))
                )
                slot.extend(array)
            elif kind == "preview":
                out._previews[int(of)] = array.tobytes()
        out._num_added = int(facts["num_added"])
        return out
