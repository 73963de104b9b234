"""Evaluate robustness: search with corrupted query crops in a clean gallery."""

import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageFilter

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.crop_modes import headline_results
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.metrics.results import Result
from fashion_lsh.search.searcher import Searcher

BLUR_SIGMA = 0.025  # standard deviation as a ratio of the side of the crop; 1.6 pixels for a side of 64
JPEG_QUALITY = 20  # quality on the scale of Pillow, 1 to 95, with 4:2:0 chroma subsampling
NOISE_STD = 20.0  # standard deviation for pixel values from 0 to 255
OCCLUSION_RATIO = 0.5  # ratio of the side of the occluding square to the side of the crop
GREY = 128


def blur(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001  same signature for all corruptions
    """Gaussian blur with standard deviation BLUR_SIGMA.  (S, S, 3) uint8 -> (S, S, 3) uint8; `rng` is not used."""
    return np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(BLUR_SIGMA * len(crop))))


def jpeg(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG001
    """JPEG compression with JPEG_QUALITY.  (S, S, 3) uint8 -> (S, S, 3) uint8; `rng` is not used."""
    file = io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


def noise(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Additive Gaussian noise with NOISE_STD, per pixel and channel.  (S, S, 3) uint8 -> (S, S, 3) uint8."""
    return np.clip(np.rint(crop + rng.normal(0, NOISE_STD, crop.shape)), 0, 255).astype(np.uint8)


def occlusion(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey square at a random position, with OCCLUSION_RATIO of the side.  (S, S, 3) uint8 -> (S, S, 3) uint8."""
    size = round(OCCLUSION_RATIO * len(crop))
    top, left = rng.integers(0, len(crop) - size + 1, 2)
    occluded = crop.copy()
    occluded[top : top + size, left : left + size] = GREY
    return occluded


CORRUPTIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "blur": blur, "jpeg": jpeg, "noise": noise, "occlusion": occlusion,
}  # fmt: skip


def corrupt(batch: Batch, corruption: str) -> Batch:
    """Corrupt each crop of a batch with one of CORRUPTIONS; the random seed of a crop is its catalogue row."""
    apply = CORRUPTIONS[corruption]
    crops = np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy())  # (B, S, S, 3)
    images = [apply(crop, np.random.default_rng(row)) for crop, row in zip(crops, batch.rows.tolist(), strict=True)]
    return batch._replace(images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous())


def score_corruptions(searcher: Searcher, data: GarmentData, corruptions: Sequence[str]) -> list[Result]:
    """Score the search in the clean gallery with each corruption of the query crops.

    Returns:
        HEADLINE results under the condition `corruption=<corruption>` (see `headline_results`).
    """
    results: list[Result] = []
    for name in corruptions:
        query = encode_split(searcher.model, data, "query", partial(corrupt, corruption=name))
        evaluation = evaluate(searcher, query, data.not_indexed("gallery"))
        results += headline_results(f"corruption={name}", evaluation.results)
    return results
