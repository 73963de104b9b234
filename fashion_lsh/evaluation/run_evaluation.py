"""Compute all metrics of a run."""

from collections.abc import Sequence
from typing import NamedTuple

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import BoxDetector
from fashion_lsh.evaluation.baselines import baseline_metrics
from fashion_lsh.evaluation.crop_modes import CropMode, score_crop_modes
from fashion_lsh.evaluation.detection import detector_scores
from fashion_lsh.evaluation.model_costs import measure_costs
from fashion_lsh.evaluation.protocol import EncodedSplit, Results, evaluate, time_end_to_end
from fashion_lsh.evaluation.robustness import score_corruptions
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.search.searcher import Searcher


class RunEvaluation(NamedTuple):
    """Evaluation of a run.

    Attributes:
        results: results of the search with the policy of the run.
        extra_metrics: all other metrics, by name.
        baseline_scores: (Q,) scores of the baselines.
    """

    results: Results
    extra_metrics: dict[str, float]
    baseline_scores: Scores

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics, by name."""
        return self.results.metrics | self.extra_metrics


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
    """
    results = evaluate(searcher, query, gallery.not_indexed)
    baselines, baseline_scores = baseline_metrics(query, gallery, model.bits)
    extra_metrics = baselines | time_end_to_end(searcher, data, detector if data.crop == "detected" else None)
    extra_metrics |= model.fit_metrics
    if detector is not None and scenes is not None and data.detections is not None:
        extra_metrics |= detector_scores(detector, scenes, data.detections)
    extra_metrics |= score_crop_modes(model, data, searcher.policy, crop_modes) | measure_costs(model)
    extra_metrics |= score_corruptions(searcher, data, corruptions)
    return RunEvaluation(results, extra_metrics, baseline_scores)
