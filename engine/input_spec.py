"""How a picture becomes a model's input: the part of a bundle that training and live code must agree on."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.picture import ColorOrder, Fit, Letterbox

Length = Annotated[int, Field(ge=8, le=8192)]
Triple = tuple[float, float, float]


class InputSpec(BaseModel):
    """Size, colour order, fit and normalisation of a model's input.

    Attributes:
        size_wh: width and height in pixels.
        color: order of the three channels; `mean` and `std` are in this order.
        resize: see `engine.picture.Letterbox.fit`.
        pad: grey level of the border, before normalising.
        mean: subtracted from the values 0..255.
        std: what is left is divided by this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size_wh: tuple[Length, Length]
    color: ColorOrder = "bgr"
    resize: Fit = "letterbox"
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @field_validator("std")
    @classmethod
    def _divides(cls, std: Triple) -> Triple:
        if not all(value > 0 for value in std):
            raise ValueError(f"std must be above 0, got {std}")
        return std

    @property
    def letterbox(self) -> Letterbox:
        """The picture's part of it."""
        return Letterbox(self.size_wh, self.resize, self.color, self.pad)

    @property
    def is_plain(self) -> bool:
        """The model takes the values 0..255 as they are."""
        return self.mean == (0.0, 0.0, 0.0) and self.std == (1.0, 1.0, 1.0)

    def scale_and_offset(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give float32 (3,) arrays with `(x - mean) / std == x * scale + offset`, up to rounding."""
        scale = 1.0 / np.array(self.std)
        return scale.astype(np.float32), (-np.array(self.mean) * scale).astype(np.float32)
