"""Everything that is measured of a finished run."""

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
    """Results of the run's own search, the metrics beside them, and the (Q,) scores of the baselines."""

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
    """Search with all queries, and score the search, the baselines, the network, the crops and the detector.

    Args:
        model: the network of the searcher.
        searcher: by the run's own policy.
        data: cropped as the run is, with the detections where it has a detector.
        query: encoded queries.
        gallery: the encoded gallery.
        crops: further ways of cropping to score (see `score_crop_modes`).
        corruptions: of the query crops to score (see `score_corruptions`).
        detector: of the run; None: it has none.
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
