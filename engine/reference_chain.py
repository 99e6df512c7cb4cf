"""Which decoded pictures can be trusted: those whose references all arrived since a key frame."""

from __future__ import annotations


class ReferenceChain:
    """Follows one decoder. It is broken at first, and mended by a key frame.

    A loss is noticed while decoding, but pictures come out later and in another order: a key frame mends the chain
    only if it is shown after the loss. The second one does in any case, since stream time may have jumped.
    """

    def __init__(self) -> None:
        self._whole = False
        self._lost_pts: int | None = None
        self._keys_since = 0

    def broke(self, pts: int | None) -> None:
        """Something that later pictures are built on was lost at or before this time."""
        self._whole, self._lost_pts, self._keys_since = False, pts, 0

    def holds(self, pts: int | None, is_key: bool, is_corrupt: bool) -> bool:
        """Take the next picture in the order of showing; say whether it can be trusted.

        Args:
            pts: its time in any unit, None where it states none.
            is_key: it is built on no other.
            is_corrupt: the decoder itself says that it made part of it up.
        """
        if is_corrupt:
            self.broke(pts)
        elif is_key and not self._whole:
            self._keys_since += 1
            later = pts is None or self._lost_pts is None or pts > self._lost_pts
            self._whole = later or self._keys_since > 1
        return self._whole
