"""What a drift report calls things: for people who have never heard of a statistic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Word:
    """A statistic for people: its name, what its numbers mean, and what less and more of it is."""

    name: str
    meaning: str
    less: str
    more: str


WORDS: Mapping[str, Word] = MappingProxyType({
    "brightness": Word("brightness", "0 is black, 255 is white", "darker", "brighter"),
    "contrast": Word("contrast", "how far light and dark lie apart", "flatter", "richer in contrast"),
    "saturation": Word("colourfulness", "0 is grey", "paler", "more colourful"),
    "sharpness": Word("sharpness", "how crisp outlines are", "softer", "sharper"),
    "noise": Word("grain", "grey levels of noise", "cleaner", "grainier"),
    "entropy": Word("shades", "how many shades of grey are used, 0 to 6", "of fewer shades", "of more shades"),
    "edge_density": Word("outlines", "share of the picture that is outlines", "emptier", "busier in outlines"),
    "color_cast_blue": Word("blue tint", "0 is neutral, below it is yellow", "yellower", "bluer"),
    "color_cast_red": Word("red tint", "0 is neutral, below it is green", "greener", "redder"),
    "blockiness": Word("compression blocks", "1 is none to be seen", "less blocky", "blockier"),
    "detail": Word("fine detail", "how much of the smallest detail is left", "poorer in detail", "richer in detail"),
    "motion": Word("motion", "how much changes from sample to sample", "stiller", "busier in motion"),
    "count": Word("objects found", "in one picture", "with fewer objects", "with more objects"),
    "confidence": Word("how sure the model is", "0 to 1", "less certain for the model", "more certain for the model"),
    "size": Word("size of objects", "share of the picture's side", "with smaller objects", "with larger objects"),
    "aspect": Word("shape of objects", "below 0 upright, above wide", "with slimmer objects", "with wider objects"),
    "cx": Word("objects left to right", "0 left, 1 right", "with objects to the left", "with objects to the right"),
    "cy": Word("objects top to bottom", "0 is top, 1 is bottom", "with objects higher up", "with objects lower down"),
    "foot": Word("lower edge of objects", "0 is top, 1 is bottom", "with objects further off", "with objects nearer"),
})  # fmt: skip
"""By name of the statistic."""


def word_of(statistic: str) -> Word:
    """Give the words for a statistic; one without words of its own keeps its name."""
    name = statistic.replace("_", " ")
    return WORDS.get(statistic) or Word(name, "", f"lower in {name}", f"higher in {name}")


HEADLINES: Mapping[str, str] = MappingProxyType({
    "frozen": "the picture is frozen",
    "covered": "the view is covered",
    "moved": "the camera looks elsewhere",
    "dark": "the picture is dark",
    "dusk": "the light is dim",
    "overexposed": "the picture is too bright",
    "fog": "the view is hazy",
    "rain": "rain or snow veils the view",
    "blurred": "the picture is blurred",
    "dirty": "the lens is dirty",
    "noisy": "the picture is grainy",
    "compressed": "the picture is badly compressed",
    "color_cast": "the colours are shifted",
    "other_objects": "the model sees other objects than before",
    "low_confidence": "the model is less sure of what it sees",
    "changed": "the picture is not as it was",
})  # fmt: skip
"""By cause: what to say first."""

ADVICE: Mapping[str, str] = MappingProxyType({
    "frozen": "Restart the camera. If it happens again, look at its encoder and its network.",
    "covered": "Go and look: remove what is in front of the lens.",
    "moved": "Go and look: turn the camera back, or draw zones and lines anew and accept the new view with "
    "`vedette drift accept`.",
    "dark": "If a lamp failed, replace it. If it is night, nothing needs to be done once the nights are part of the "
    "camera's normal; if the model misses objects at night, train it with night pictures.",
    "dusk": "Nothing if it passes with the hour. If the model misses objects in it, train it with pictures at dusk.",
    "overexposed": "Look at the exposure settings, and for a new lamp or a low sun in the view.",
    "fog": "Wait if it is fog. If it stays, the lens or its cover is steamed up: look at heater and seal.",
    "rain": "Wait. If the model misses objects in it, train it with pictures in rain.",
    "blurred": "Clean and dry the lens, then set the focus.",
    "dirty": "Clean the lens or its dome.",
    "noisy": "Give the scene more light, or look at the gain. If neither helps, the sensor is failing.",
    "compressed": "Look at bit rate and codec in the camera's settings, and for a firmware update that changed them.",
    "color_cast": "Look at the white balance and at new lamps; at day a pink or grey picture means that the infrared "
    "filter hangs.",
    "other_objects": "Look whether the scene itself has changed. If it has, accept it with `vedette drift accept`; if "
    "the model has not learnt such objects, train it with them.",
    "low_confidence": "Look at the pictures for what makes objects hard to see. Where nothing is wrong with the "
    "camera, label some of them and train the model with them.",
    "changed": "Compare the two pictures. If the change is meant to stay, accept it with `vedette drift accept`.",
})  # fmt: skip
"""By cause: what to do about it."""


def clock(seconds: float) -> str:
    """Write a length of time as a player does.

    >>> clock(75.4), clock(7325)
    ('1:15', '2:02:05')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def length(seconds: float) -> str:
    """Write a length of time in a sentence.

    >>> length(20), length(60), length(75.4), length(7500)
    ('20 s', '1 min', '1 min 15 s', '2 h 5 min')
    """
    total = max(0, round(seconds))
    parts = ((total // 3600, "h"), (total // 60 % 60, "min"), (total % 60 if total < 3600 else 0, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def number(value: float) -> str:
    """Write a figure with as many digits as a person reads.

    >>> number(0.1234), number(41.56), number(1234.5), number(43.02), number(-0.001)
    ('0.12', '41.6', '1234', '43', '0')
    """
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    whole, _, rest = text.partition(".")
    return text if rest.strip("0") else "0" if whole == "-0" else whole


def listed(words: list[str]) -> str:
    """Join words as in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
