"""An engine must see the same whatever else is in a batch, and must compute at all where there are no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.inference import InferenceBackend
from engine.picture import LetterboxGeometry, Picture, Pixels
from engine.trt_engine import Precision
from training.engines.eyes import open_eyes, sure_from
from training.engines.images import ImageSet, drawn_pictures
from training.engines.parity import ParityError, compare

# A batch has as many places to go wrong as it is long; 16 of them show it.
_MAX_ALONE = 16
_NUM_DRAWN = 8
# Pixels of the model's input, and confidence. Libraries run other kernels for other batch sizes, which round otherwise;
# what this is to find are pictures that look at each other, and batches that end early.
_SAME_BOXES: dict[Precision, tuple[float, float]] = {
    "fp32": (0.5, 0.01), "fp16": (2.0, 0.05), "bf16": (4.0, 0.1), "int8": (2.0, 0.05),
}  # fmt: skip
# Relative to all that a model says about a picture. An engine that computes something else is off by 1.
_SAME_OUTPUTS: dict[Precision, float] = {"fp32": 0.01, "fp16": 0.1, "bf16": 0.25, "int8": 0.5}


def check_batches(
    candidate: InferenceBackend, bundle: Bundle, images: ImageSet, batch: int, precision: Precision
) -> None:
    """Compare boxes of pictures alone with those of the same pictures in a full batch.

    Args:
        candidate: open.
        bundle: says how outputs become boxes.
        images: the pictures; fewer than a batch are repeated.
        batch: the largest the candidate takes.
        precision: what it computes in.

    Raises:
        ParityError: what else is in a batch changes the boxes.
    """
    spec = bundle.manifest.input
    letterbox, as_it_is = spec.letterbox, LetterboxGeometry(spec.size_wh, spec.size_wh, (0, 0))
    names, pixels = [], []
    for one in islice(images.read(), batch):
        names.append(one.name)
        pixels.append(one.picture.letterbox(letterbox))
    max_box_px, max_confidence = _SAME_BOXES[precision]
    with open_eyes(bundle) as decode:
        for place, alone, within in _both(candidate, pixels, batch):
            difference = compare(decode(alone, as_it_is), decode(within, as_it_is), sure_from(bundle))
            lost = difference.num_missed + difference.num_extra
            if lost or difference.max_box_px > max_box_px or difference.max_confidence > max_confidence:
                raise ParityError(
                    f"{bundle.root}: in {precision}, {names[place % len(names)]} alone and as picture {place + 1} of "
                    f"a batch of {batch} are not the same ({difference}); build with --max-batch 1, or export the "
                    "model with a free batch throughout"
                )


def check_drawn(
    reference: InferenceBackend, candidate: InferenceBackend, bundle: Bundle, batch: int, precision: Precision
) -> float:
    """Compare raw outputs on drawn pictures, alone and in a full batch, where there are no better pictures.

    Returns:
        The worst difference, relative to what the reference says about a picture.

    Raises:
        ParityError: the candidate computes something else, or what else is in a batch changes it.
    """
    letterbox = bundle.manifest.input.letterbox
    pictures = drawn_pictures(letterbox.size_wh, _NUM_DRAWN)
    pixels = [Picture.from_bgr(bgr).letterbox(letterbox) for bgr in pictures]
    truth = [reference.infer(one[None]) for one in pixels]
    worst = 0.0
    for place, alone, within in _both(candidate, pixels, batch):
        model = [output[0] for output in truth[place % len(truth)]]
        for outputs, where in ((alone, "alone"), (within, f"as picture {place + 1} of a batch of {batch}")):
            off = _relative(model, outputs)
            # What is no number is no smaller than anything.
            if not off <= _SAME_OUTPUTS[precision]:
                raise ParityError(
                    f"{bundle.root}: in {precision} it does not compute what the model does: the outputs for a drawn "
                    f"picture {where} are {100 * off:.3g} % off; take another precision, or keep layers in fp32"
                )
            worst = max(worst, off)
    return worst


def _both(
    candidate: InferenceBackend, pixels: Sequence[Pixels], batch: int
) -> list[tuple[int, list[NDArray[Any]], list[NDArray[Any]]]]:
    """Give places in a full batch with the outputs for the picture there, alone and in the batch."""
    together = candidate.infer(np.stack([pixels[place % len(pixels)] for place in range(batch)]))
    places = sorted(set(np.linspace(0, batch - 1, min(batch, _MAX_ALONE)).round().astype(int).tolist()))
    return [
        (
            place,
            [output[0] for output in candidate.infer(pixels[place % len(pixels)][None])],
            [output[place] for output in together],
        )
        for place in places
    ]


def _relative(truth: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]) -> float:
    one, other = (np.concatenate([output.reshape(-1) for output in side]) for side in (truth, outputs))
    return float(np.linalg.norm(other - one) / max(float(np.linalg.norm(one)), 1e-12))
