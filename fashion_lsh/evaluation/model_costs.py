"""Measure model size, FLOPs, latency per image and bytes per code."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fashion_lsh.evaluation.latency import single_thread, time_interleaved
from fashion_lsh.index.codes import code_bytes
from fashion_lsh.metrics.results import Result
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.models.vector_backbone import VectorBackbone

NUM_TIMED = 100  # number of timed images


def measure_costs(model: CropModel) -> list[Result]:
    """Measure the costs of a fitted model.

    Returns:
        `parameters`: number of weights, including frozen weights.
        `flops`: floating-point operations of the convolutions and matrix products in the forward pass of one
        image, where a multiply-add counts as two operations.
        `feature_bytes`: size of the float32 backbone features of an image.
        `code_bytes`: size of the code of an image; missing for a model without a hash layer.
        `network_ms`: latency from a crop to code, embedding and category, with one image at a time on one thread;
        median of NUM_TIMED images after 20 untimed images.
    """
    generator = torch.Generator().manual_seed(0)
    image_size = model.image_size
    images = torch.randint(0, 256, (1, 3, image_size, image_size), generator=generator, dtype=torch.uint8)
    if isinstance(model.backbone, VectorBackbone):
        images = torch.randn((1, model.backbone.feature_dim), generator=generator)
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images.to(model.device))
    with single_thread():
        milliseconds = time_interleaved({"network": lambda _: encode(model, images)}, NUM_TIMED)["network"]
    values = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops": counter.get_total_flops(),
        "feature_bytes": 4 * model.backbone.feature_dim,
        "network_ms": float(np.median(milliseconds)),
        **({} if model.bits is None else {"code_bytes": code_bytes(model.bits)}),
    }
    return [Result(name, value, method="model") for name, value in values.items()]
