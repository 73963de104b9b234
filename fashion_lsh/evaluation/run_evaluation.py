"""All metrics of a run."""

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
    """Results of the run's search, further metrics, and the (Q,) scores of the baselines."""

    results: Results
    extra: dict[str, float]
    baseline_scores: Scores

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics, by name."""
        return self.results.metrics | self.extra


def evaluate_run(
    model: CropModel,
    searcher: Searcher,
    data: GarmentData,
    query: EncodedSplit,
    gallery: EncodedSplit,
    crops: Sequence[CropMode] = (),
    corruptions: Sequence[str] = (),
    detector: BoxDetector | None = None,
    scenes: DetectionData | None = None,
) -> RunEvaluation:
    """Search with all queries, and evaluate the search, baselines, model costs, crops, corruptions and detector.

    Args:
        model: network of the searcher.
        searcher: searcher with the policy of the run.
        data: data with the crops of the run, and the detections if it has a detector.
        query: encoded queries.
        gallery: encoded gallery.
        crops: further crop modes to score (see `score_crop_modes`).
        corruptions: corruptions of the query crops to score (see `score_corruptions`).
        detector: detector of the run; None: no detector.
        scenes: images with boxes that the detector was fitted on.
    """
    results = evaluate(searcher, query, gallery.not_indexed)
    baselines, baseline_scores = baseline_metrics(query, gallery, model.bits)
    extra = baselines | time_end_to_end(searcher, data, detector if data.crop == "detected" else None)
    extra |= model.fit_metrics
    if detector is not None and scenes is not None and data.detections is not None:
        extra |= detector_scores(detector, scenes, data.detections)
    extra |= score_crop_modes(model, data, searcher.policy, crops) | measure_costs(model)
    extra |= score_corruptions(searcher, data, corruptions)
    return RunEvaluation(results, extra, baseline_scores)
