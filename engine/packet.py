"""The packet: what flows from operator to operator. Replaced, never mutated."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.crops import Crops, Recognition
from engine.detections import Detections
from engine.event import Event
from engine.frame import Frame
from engine.picture import Letterbox, LetterboxGeometry, Picture, Pixels
from engine.tracks import Tracks


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A letterboxed picture on its way to a detector.

    Attributes:
        pixels: uint8 (3, h, w), channels in the model's order.
        geometry: undoes the letterbox for boxes.
    """

    pixels: Pixels
    geometry: LetterboxGeometry


@dataclass(frozen=True, slots=True)
class PictureInput:
    """A picture that is letterboxed where the model runs, or by whoever asks for its pixels. It does not travel.

    Attributes:
        picture: as the decoder left it.
        letterbox: what it is to become.
    """

    picture: Picture
    letterbox: Letterbox

    @property
    def pixels(self) -> Pixels:
        """As of a ModelInput; made anew each time."""
        return self.picture.letterbox(self.letterbox)

    @property
    def geometry(self) -> LetterboxGeometry:
        """As of a ModelInput."""
        return self.letterbox.geometry(self.picture.size_wh)


@dataclass(frozen=True, slots=True)
class Packet:
    """One frame and all that has been found out about it.

    Attributes:
        frame: the frame.
        tensor: the model's input, None where the cadence says not to look.
        detections: None means "not looked at this frame"; an empty table means "looked, and nothing is there".
        tracks: None until a tracker has run.
        flow: float32 (h, w, 2), dx then dy, pixels of the flow picture from the previous frame to this one, None
            where nobody computed it. Scale by frame size over flow size.
        crops: pictures of objects for a classifier, None where none is due.
        recognitions: what the classifier says about them, None where it was not asked.
        events: what operators have to say, in order.
        feedback: the tracks after the frame that was admitted a fixed number of frames earlier (see CameraLane);
            None at the start of an epoch.
    """

    frame: Frame
    tensor: ModelInput | PictureInput | None = None
    detections: Detections | None = None
    tracks: Tracks | None = None
    flow: NDArray[np.float32] | None = None
    crops: Crops | None = None
    recognitions: tuple[Recognition, ...] | None = None
    events: tuple[Event, ...] = ()
    feedback: Tracks | None = None

    def replace(self, **changes: Any) -> Packet:
        """Give a copy with some fields changed."""
        return replace(self, **changes)

    def emit(self, *events: Event) -> Packet:
        """Give a copy with events added at the end."""
        return replace(self, events=self.events + events) if events else self


PACKET_FIELDS: frozenset[str] = frozenset(field.name for field in fields(Packet))
