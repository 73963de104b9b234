"""Fit codes on cached features, and measure their searches on val."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import with_first_features
from fashion_lsh.data.loaders import build_row_loader
from fashion_lsh.evaluation.advice import Candidate
from fashion_lsh.evaluation.advice_sample import Sample
from fashion_lsh.evaluation.batch_encoding import encode_all
from fashion_lsh.evaluation.protocol import time_search
from fashion_lsh.evaluation.scoring import score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.feature_cache import cache_features, cached_views
from fashion_lsh.models.item_codes import ItemCodeModel
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.search.storage import storage_bytes

log = logging.getLogger(__name__)

LENGTHS = (24, 32, 48, 64, 96, 128, 160, 192, 256)
K = 10
METRICS = {"item": ("recall", K), "category": ("precision", K)}  # by relevance
SEARCHES: tuple[dict[str, Any], ...] = (
    {"distance": "hamming"},
    {"distance": "asymmetric"},
    {"distance": "rerank", "rerank_k": 100, "rerank_by": "asymmetric"},
    {"distance": "rerank", "rerank_k": 100},
    {"distance": "euclidean"},
)
NPROBES: tuple[int | str, ...] = (1, 2, 4, "all")
NUM_TIMED = 40  # number of timed queries of each search


def cache_sample(
    sample: Sample, options: Mapping[str, Any], weights: CropModel | str | None, folder: Path
) -> GarmentData:
    """Encode the sampled images once; vectors are returned unchanged.

    By item, the features have further levels, and two augmented views of each image if items have single images.

    Args:
        sample: sampled data.
        options: backbone, categories, image_size and margin of the networks.
        weights: network with the weights of the backbone, or name or file of weights.
        folder: folder of the cache.
    """
    if not sample.data.has_images:
        return sample.data
    by_item = sample.name == "item"
    wide = ItemCodeModel(bits=8, levels=by_item, **options)
    if isinstance(weights, CropModel):
        wide.start_from(weights).to(weights.device)
    else:
        wide.load_weights(weights)
    views = cached_views("auto", sample.data.replace(transform=None, min_crop_area=1.0), by_item)
    return cache_features(wide, sample.data, folder, views)


def feature_length(options: Mapping[str, Any]) -> int:
    """Length of the features of a backbone without levels; options as for `cache_sample`."""
    return ItemCodeModel(bits=8, **options).base_dim


def policies(num_categories: int) -> list[tuple[dict[str, Any], SearchPolicy]]:
    """Searches to compare: settings, and the policy with these settings."""
    nprobes = [nprobe for nprobe in NPROBES if nprobe == "all" or int(nprobe) < num_categories]
    settings = [{**search, "nprobe": nprobe} for search in SEARCHES for nprobe in nprobes]
    return [(each, SearchPolicy(**each)) for each in settings]


def measure_searches(
    model: CodeModel, data: GarmentData, sample: Sample, max_bytes: float, num_rows: int, names: tuple[str, str]
) -> list[Candidate]:
    """Score and time the searches of a fitted model whose bytes are within the budget, or those with fewest bytes.

    Args:
        model: fitted model.
        data: sampled data with features.
        sample: queries, gallery and relevance.
        max_bytes: maximum bytes per garment.
        num_rows: number of gallery rows of the timed searches; the rows of the sample are repeated.
        names: names of backbone and hash stage.
    """
    found = policies(len(model.categories))
    sizes = [storage_bytes(policy, model.bits, model.embedding_length)["bytes"] for _, policy in found]
    network: CropModel = model
    limit = max(max_bytes, min(sizes))
    data = with_first_features(data, model.backbone.feature_dim)
    query, gallery = (_encode(network, data, rows) for rows in (sample.query, sample.gallery))
    scored = Gallery.build(network, gallery, data.catalogue.take(sample.gallery))
    timed = _repeat(network, gallery, data, sample.gallery, num_rows) if num_rows != len(scored) else scored
    candidates = []
    for (settings, policy), size in zip(found, sizes, strict=True):
        if size > limit:
            continue
        scores = score_search(Searcher(network, scored, policy), query, sample.relevance, (K,))
        _, milliseconds = time_search(Searcher(network, timed, policy), query.take(slice(0, NUM_TIMED)))
        score = round(float(np.nanmean(scores[METRICS[sample.name]])), 4)
        duration = round(float(np.median(milliseconds)), 3)
        candidates.append(Candidate(*names, model.bits, settings, policy.label, score, size, duration))
    best = max(candidates, key=lambda each: each.score)
    log.info("%s, %s, %d bits: %.3f (%s)", *names, model.bits, best.score, best.label)
    return candidates


def _encode(model: CropModel, data: GarmentData, rows: np.ndarray) -> Encoded:
    return encode_all(model, build_row_loader(data, rows))[0]


def _repeat(model: CropModel, encoded: Encoded, data: GarmentData, rows: np.ndarray, num_rows: int) -> Gallery:
    """Gallery of `num_rows` rows: the encoded rows, repeated as often as needed."""
    positions = np.arange(num_rows) % len(rows)
    catalogue = data.catalogue.take(rows[positions], [str(number) for number in range(num_rows)])
    return Gallery.build(model, encoded.take(positions), catalogue)


def lengths_within(max_bytes: float, is_full: bool) -> list[int]:
    """Code lengths, ascending, whose code and id are within the budget, or the shortest.

    Of lengths with equal stored bytes only the longest, unless `is_full`.
    """
    fitting = [length for length in LENGTHS if _code_bytes(length) <= max_bytes] or [LENGTHS[0]]
    return fitting if is_full else list({_code_bytes(length): length for length in fitting}.values())


def _code_bytes(bits: int) -> int:
    """Bytes of code and id."""
    return storage_bytes(SearchPolicy("hamming"), bits, 0)["bytes"]
