"""Measure model size, FLOPs, latency per image and bytes per code."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fashion_lsh.evaluation.latency import single_thread, time_interleaved
from fashion_lsh.index.codes import width
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import encode

TIMED = 100  # images


def measure_costs(model: CropModel) -> dict[str, float]:
    """Costs of a fitted model, by metric name.

    `model/parameters`: weights of backbone, hash layer and heads, including frozen ones; `model/flops`: floating-point
    operations of one forward pass of one image of the model's input size, in convolutions and matrix products only, a
    multiply-add counted as two; `model/feature_bytes`: backbone features of an image as float32; `model/code_bytes`:
    its code, if there is one; `speed/network_ms`: from a crop to its code, embedding and category, one image at a time
    on one thread: median of TIMED images after 20 for warm-up.
    """
    generator = torch.Generator().manual_seed(0)
    image_size = model.image_size
    images = torch.randint(0, 256, (1, 3, image_size, image_size), generator=generator, dtype=torch.uint8)
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images.to(model.device))
    with single_thread():
        milliseconds = time_interleaved({"network": lambda _: encode(model, images)}, TIMED)["network"]
    code = {} if model.bits is None else {"model/code_bytes": width(model.bits)}
    return code | {
        "model/parameters": sum(parameter.numel() for parameter in model.parameters()),
        "model/flops": counter.get_total_flops(),
        "model/feature_bytes": 4 * model.backbone.feature_dim,
        "speed/network_ms": float(np.median(milliseconds)),
    }
