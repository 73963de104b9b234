"""Compute all metrics of a run."""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import BoxDetector
from fashion_lsh.evaluation.baselines import baseline_results
from fashion_lsh.evaluation.crop_modes import score_crop_modes
from fashion_lsh.evaluation.detection import detector_results
from fashion_lsh.evaluation.end_to_end import time_end_to_end
from fashion_lsh.evaluation.evaluator import Evaluator, add_results
from fashion_lsh.evaluation.model_costs import measure_costs
from fashion_lsh.evaluation.protocol import EncodedSplit, encode_sample, evaluate
from fashion_lsh.evaluation.robustness import score_corruptions
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics.ranking import CUTOFFS
from fashion_lsh.metrics.results import CropMode, Result, ResultTable
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.item_codes import ItemCodeModel, ItemLDA
from fashion_lsh.search.searcher import Searcher

TRAIN_SAMPLES = 2_048  # number of training images to which the codes of baselines are fitted
log = logging.getLogger(__name__)


class RunEvaluation(NamedTuple):
    """Evaluation of a run.

    Attributes:
        results: all results.
        queries: query table of the search with the policy of the run, and of all baselines.
        hits: (Q, 100) hits of the search.
        gallery: see SearchEvaluation.
    """

    results: ResultTable
    queries: pa.Table
    hits: Hits
    gallery: str


def evaluate_run(
    model: CropModel,
    searcher: Searcher,
    data: GarmentData,
    query: EncodedSplit,
    gallery: EncodedSplit,
    crop_modes: Sequence[CropMode] = (),
    corruptions: Sequence[str] = (),
    detector: BoxDetector | None = None,
    scenes: DetectionData | None = None,
    evaluators: Mapping[str, Evaluator] = MappingProxyType({}),
    cutoffs: Sequence[int] = CUTOFFS,
) -> RunEvaluation:
    """Evaluate the search, baselines, model costs, crop modes, robustness to corruptions, and the detector.

    Args:
        model: network of the searcher.
        searcher: searcher with the policy of the run.
        data: data with the crop mode of the run, and with detections if the run has a detector.
        query: encoded queries.
        gallery: encoded gallery.
        crop_modes: further crop modes to evaluate (see `score_crop_modes`).
        corruptions: corruptions for which to evaluate robustness (see `score_corruptions`).
        detector: detector of the run; None for a run without detector.
        scenes: images with boxes on which the detector was trained; None for a run without detector.
        evaluators: a user's own evaluators by name.
        cutoffs: cutoff ranks of the metrics.
    """
    search = evaluate(searcher, query, gallery.not_indexed, cutoffs)
    train_embeddings = encode_sample(model, data, TRAIN_SAMPLES)
    is_item_code = isinstance(model, ItemCodeModel | ItemLDA)
    baselines, baseline_queries = baseline_results(query, gallery, train_embeddings, model.bits, cutoffs, is_item_code)
    results = [*search.results, *baselines, *_fit_results(model)]
    results.append(time_end_to_end(searcher, data, detector if data.crop == "detected" else None))
    if not data.has_images:
        crop_modes, corruptions = (), ()
        log.info("Vectors without images: no contact sheets, image descriptors, crop modes and corruptions")
    if detector is not None and scenes is not None and data.detections is not None:
        results += detector_results(detector, scenes, data.detections)
    results += score_crop_modes(model, data, searcher.policy, crop_modes) + measure_costs(model)
    results += score_corruptions(searcher, data, corruptions)
    policy = searcher.policy
    queries = pa.concat_tables([search.queries, baseline_queries], promote_options="default")
    table = ResultTable(results, (policy.method, policy.scope))
    table = add_results(table, evaluators, searcher, data, query, gallery)
    return RunEvaluation(table, queries, search.hits, search.gallery)


def _fit_results(model: CropModel) -> list[Result]:
    """Metrics recorded while fitting each stage; Lightning logs them as `<split>/<metric>`, or `<metric>` alone."""
    return [
        Result(name.rpartition("/")[2], value, method=stage, split=name.rpartition("/")[0] or "train")
        for stage, metrics in model.fit_metrics.items()
        for name, value in metrics.items()
    ]
