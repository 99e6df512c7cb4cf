"""The proof that ONNX Runtime sees what PyTorch sees, on real pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.boxes import Boxes
from engine.bundle import Bundle
from engine.card import Parity
from engine.detections import Detections
from engine.errors import BundleError
from engine.inference import InferenceBackend, make_backend
from engine.input_spec import InputSpec
from engine.load import load_class
from engine.picture import Picture, Pixels
from training.dataset import Dataset, Sample
from training.evaluation.detections import judge_detections
from training.export import exported
from training.model import Detector, cell_grid, decode_boxes

Output = NDArray[np.float32]

# Boxes of cells that are less sure are compared with nothing: nobody asks for them, and they may have any size.
_MIN_CONFIDENCE = 0.01
# In cells and probabilities. ONNX Runtime gives the same bits for every batch size on the CPUs we know; what this is
# to find are pictures that look at each other.
_MAX_BATCH_DIFFERENCE = 1e-3


def check_parity(
    detector: Detector, bundle: Bundle, dataset: Dataset, *, max_map_difference: float = 0.1, max_pictures: int = 128
) -> Parity:
    """Compare a detector with its bundle on pictures that take the way that live pictures take.

    Args:
        detector: what was exported; it is not changed.
        bundle: family `yolox`, on disk with its manifest.
        dataset: labelled pictures that the model was not trained on.
        max_map_difference: points of mAP on the scale 0..100.
        max_pictures: at most so many, evenly spread over the data set.

    Returns:
        Largest differences: of box sides where a cell's confidence is at least 0.01, of confidences everywhere.

    Raises:
        BundleError: outputs that are no numbers, pictures of a batch that change each other, or mAP that differs by
            more than the limit.
        SourceError: a picture cannot be read, or there is no box to judge by.
    """
    where, spec = bundle.file("onnx"), bundle.manifest.input
    dataset = spread(dataset, max_pictures)
    truth = dataset.to_coco()
    grid = cell_grid(spec.size_wh[1], spec.size_wh[0])
    boxes_pytorch: list[dict[str, Any]] = []
    boxes_onnx: list[dict[str, Any]] = []
    max_box_px = max_score = 0.0
    backend = make_backend("onnxruntime")
    # Both outputs become boxes in the operator that does it live.
    infer = load_class("infer")(model=str(bundle.root), min_confidence=_MIN_CONFIDENCE, backend="onnxruntime")
    try:
        backend.open(bundle)
        infer.open()
        pairs = _outputs(detector, backend, spec, dataset)
        for (sample, ours, theirs), image in zip(pairs, truth["images"], strict=True):
            if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
                raise BundleError(f"{where}: what the model says about {sample.path} is no number; train it again")
            scores, scores_onnx = ours[:, 4:5] * ours[:, 5:], theirs[:, 4:5] * theirs[:, 5:]
            max_score = max(max_score, float(np.abs(scores - scores_onnx).max()))
            sure = (np.maximum(scores, scores_onnx) >= _MIN_CONFIDENCE).any(axis=1)
            box_px = np.abs(_boxes(ours, grid) - _boxes(theirs, grid))[sure]
            max_box_px = max(max_box_px, float(box_px.max(initial=0)))
            geometry = spec.letterbox.geometry(sample.size_wh)
            boxes_pytorch += _coco_results(image["id"], infer.decode([ours], geometry))
            boxes_onnx += _coco_results(image["id"], infer.decode([theirs], geometry))
        max_batch = _batch_difference(backend, spec, dataset)
    finally:
        backend.close()
        infer.close()
    map_pytorch, map_onnx = (100 * judge_detections(truth, boxes).stats["ap"] for boxes in (boxes_pytorch, boxes_onnx))
    map_difference = abs(map_pytorch - map_onnx)
    if map_difference > max_map_difference:
        raise BundleError(
            f"{where}: ONNX Runtime has mAP {map_onnx:.2f} where PyTorch has {map_pytorch:.2f} on {len(dataset)} "
            f"pictures, and may differ by {max_map_difference:g} points; try another --opset"
        )
    if max_batch > _MAX_BATCH_DIFFERENCE:
        raise BundleError(
            f"{where}: pictures of a batch change each other's results by up to {max_batch:.2g}; try another --opset"
        )
    return Parity(
        num_images=len(dataset), max_box_px=max_box_px, max_score=max_score, map_difference=round(map_difference, 6)
    )


def spread(dataset: Dataset, at_most: int) -> Dataset:
    """Give so many samples, evenly spread over a data set, or all where there are fewer."""
    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), at_most)).round().astype(int)
    return dataset.subset(rows.tolist())


def _outputs(
    detector: Detector, backend: InferenceBackend, spec: InputSpec, dataset: Dataset
) -> Iterator[tuple[Sample, Output, Output]]:
    """Give each picture with what PyTorch and ONNX Runtime say about it, (cells, 5 + classes) each."""
    model = exported(detector)
    for sample in dataset.samples:
        pixels = _pixels(sample, spec)
        with torch.inference_mode():
            ours = model(torch.from_numpy(pixels[None]).float()).numpy()[0]
        yield sample, ours, backend.infer(pixels[None])[0][0]


def _batch_difference(backend: InferenceBackend, spec: InputSpec, dataset: Dataset) -> float:
    batch = np.stack([_pixels(sample, spec) for sample in dataset.samples[:3]])
    together = backend.infer(batch)[0]
    apart = np.concatenate([backend.infer(pixels[None])[0] for pixels in batch])
    return float(np.abs(together - apart).max())


def _pixels(sample: Sample, spec: InputSpec) -> Pixels:
    return Picture.from_bgr(sample.read().bgr).letterbox(spec.letterbox)


def _boxes(output: Output, grid: torch.Tensor) -> Boxes:
    boxes: Boxes = decode_boxes(torch.from_numpy(output[:, :4]), grid).numpy()
    return boxes


def _coco_results(image_id: int | str, found: Detections) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "category_id": class_id, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": confidence}
        for (x1, y1, x2, y2), class_id, confidence in zip(
            found.xyxy.tolist(), found.class_id.tolist(), found.confidence.tolist(), strict=True
        )
    ]
