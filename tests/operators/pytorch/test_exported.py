"""What PyTorch's own exporters make of a detector with attention, as RT-DETR is built: anchors, the best queries, sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.operators.pytorch.graphs import run_module, run_onnxruntime

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
WIDTH, QUERIES, HEADS = 32, 10, 4


class Detr(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTH, 8, 8), nn.BatchNorm2d(WIDTH), nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 3, 1, 1), nn.GELU()
        )
        self.encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, batch_first=True, activation="gelu")
        self.attention, self.norm = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), nn.LayerNorm(WIDTH)
        self.scores, self.boxes = nn.Linear(WIDTH, 5), nn.Linear(WIDTH, 4)
        self.offsets, self.mix = nn.Linear(WIDTH, 2 * HEADS), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stem(x / 255)
        n, _, h, w = features.shape
        memory = self.encoder(features.flatten(2).permute(0, 2, 1))
        rows, columns = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
        size = torch.full_like(rows, 0.1)
        anchors = torch.stack([(columns + 0.5) / w, (rows + 0.5) / h, size, size], -1).reshape(1, h * w, 4)
        best = self.scores(memory).max(-1).values.topk(QUERIES, dim=1).indices.unsqueeze(-1)
        places = torch.gather(self.boxes(memory) + anchors.logit(), 1, best.repeat(1, 1, 4)).sigmoid()
        queries = torch.gather(memory, 1, best.repeat(1, 1, WIDTH))
        queries = self.norm(queries + self.attention(queries, queries, queries, need_weights=False)[0])
        at = places[:, :, None, :2] + self.offsets(queries).reshape(n, QUERIES, HEADS, 2).tanh() * 0.1
        seen = F.grid_sample(features, at * 2 - 1, align_corners=False).mean(-1).permute(0, 2, 1)
        queries = queries + self.mix(seen)
        clamped = places.clamp(1e-5, 1 - 1e-5)
        cx, cy, width, height = (self.boxes(queries) + torch.log(clamped / (1 - clamped))).sigmoid().unbind(-1)
        xyxy = torch.stack([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2], -1) * 64
        moved = xyxy.clone()
        moved[..., 0] = moved[..., 0] - 0.5
        return self.scores(queries).sigmoid(), moved


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"dynamo": True, "opset_version": 18, "dynamic_shapes": {"x": {0: "N"}}}, id="dynamo-18"),
        pytest.param({"dynamo": True, "opset_version": 20, "dynamic_shapes": {"x": {0: "N"}}}, id="dynamo-20"),
        pytest.param({"dynamo": False, "opset_version": 16, "input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}, id="script-16"),
    ],
)  # fmt: skip
def test_runs_what_pytorch_exports(how: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "detr.onnx"
    example = torch.randint(0, 256, (2, 3, 64, 64)).float()
    torch.onnx.export(Detr().eval(), (example,), str(path), verbose=False, **how)
    x = np.random.default_rng(1).integers(0, 256, (3, 3, 64, 64)).astype(np.float32)
    for ours, theirs in zip(run_module(path, x), run_onnxruntime(path, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
