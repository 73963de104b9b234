"""Encode the images of many batches, in one process or in several."""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.data.loaders import build_row_loader
from fashion_lsh.io.progress import track
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import Encoded, Model, as_arrays
from fashion_lsh.training.processes import Processes
from fashion_lsh.training.world import World

EncodedRows = tuple[Encoded, dict[str, np.ndarray], float | None]


class EncodedBatch(NamedTuple):
    """Encodings of one batch.

    Attributes:
        encoded: B encoded rows.
        descriptors: name -> (B, D) float32; empty for features.
        error: mean quantisation error of the activations; None without a hash layer.
    """

    encoded: Encoded
    descriptors: dict[str, np.ndarray]
    error: float | None


def encode_all(model: Model, batches: Iterable[Batch]) -> EncodedRows:
    """Encode batches of crops in order.

    Returns:
        N encoded rows, descriptors as name -> (N, D) float32 (empty for features), and mean quantisation error (None
        without a hash layer).
    """
    return _concatenate(_encode_batches(model, batches))


def encode_in_processes(
    model: Model, data: GarmentData, rows: np.ndarray, name: str, processes: Processes
) -> EncodedRows:
    """Encode the images of catalogue rows in several processes; the result is that of `encode_all` in one process.

    Each process encodes a contiguous part of the batches.

    Args:
        model: trained network.
        data: data module.
        rows: (n,) int64 catalogue rows.
        name: name of the rows, for the progress bar.
        processes: processes that share the rows.
    """
    network: Any = model
    worker_model = network if model.device.type == "cpu" else copy.deepcopy(network).cpu()
    arguments = (data, rows, name, processes.device)
    parts = processes.run(_encode_share, (model, *arguments), (worker_model, *arguments))
    return _concatenate([batch for part in parts for batch in part])


def _encode_share(
    world: World, model: Any, data: GarmentData, rows: np.ndarray, name: str, device: str
) -> list[EncodedBatch]:
    """Encode the share of this process: whole batches, so that the encodings do not depend on the number of processes.

    The first ranks have one batch more if the number of batches is not divisible.
    """
    starts = np.array_split(np.arange(0, len(rows), data.batch_size), world.size)[world.rank]
    if not len(starts):
        return []
    own = rows[starts[0] : starts[-1] + data.batch_size]
    if world.rank:
        model = model.to(torch.device(device, world.local_rank) if device == "cuda" else torch.device(device))
    loader = build_row_loader(data, own)
    if world.rank:
        return _encode_batches(model, loader)
    title = f"encoding {name} in 1 of {world.size} processes"
    return _encode_batches(model, track(loader, title, len(own), lambda batch: len(batch.labels)))


@torch.inference_mode()
def _encode_batches(model: Model, batches: Iterable[Batch]) -> list[EncodedBatch]:
    model.eval()
    return [_encode_batch(model, batch) for batch in batches]


def _encode_batch(model: Model, crops: Batch) -> EncodedBatch:
    output = model(crops.images.to(model.device))
    error = None if output.activations is None else quantisation_error(output.activations, model.threshold)
    is_image = crops.images.ndim == 4
    descriptors = {name: compute(crops.images).numpy() for name, compute in DESCRIPTORS.items() if is_image}
    return EncodedBatch(as_arrays(model, output), descriptors, error)


def _concatenate(batches: list[EncodedBatch]) -> EncodedRows:
    errors = [batch.error for batch in batches if batch.error is not None]
    weights = [len(batch.encoded.probabilities) for batch in batches]
    names = batches[0].descriptors
    return (
        Encoded.concatenate([batch.encoded for batch in batches]),
        {name: np.concatenate([batch.descriptors[name] for batch in batches]) for name in names},
        float(np.average(errors, weights=weights)) if errors else None,
    )
