"""The causes that drift is put down to, and what to say about each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CAUSES: Mapping[str, str] = MappingProxyType({
    "frozen": "the picture stands still though frames keep coming: the camera or its encoder hangs",
    "covered": "part or all of the view is covered: something is in front of the lens",
    "moved": "the camera looks elsewhere: it was moved or bumped",
    "dark": "the picture is darker: night, a lamp that failed, or exposure",
    "dusk": "the light is dim and flat: dusk or dawn",
    "overexposed": "the picture is too bright: exposure, a low sun or a new lamp",
    "fog": "contrast is lost in bright haze: fog, or a steamed-up lens",
    "rain": "streaks and a grey veil: rain or snow",
    "blurred": "edges are soft: out of focus, or the lens is wet",
    "dirty": "patches of the picture are tinted or veiled and stay where they are: dirt, drops or a spider on the lens",
    "noisy": "there is more grain: gain is up, or the sensor fails",
    "compressed": "detail is lost to compression: the encoder's settings or bit rate changed",
    "color_cast": "the colours are shifted: white balance, a new lamp, or an infrared filter that hangs",
    "other_objects": "the model sees other kinds or sizes of objects than before",
    "low_confidence": "the model is less sure of what it sees",
    "changed": "the picture is not as it was, and no cause fits well",
})  # fmt: skip
"""What each means, for people."""
