"""Search policy: lists to probe, and distance for ranking rows."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from fashion_lsh.io.targets import Spec, create
from fashion_lsh.search.coverage import CoverageCalibration, order_lists
from fashion_lsh.search.rerank import Reranker

NProbe = PositiveInt | Literal["all"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class SearchPolicy:
    """Inverted lists to probe for a query, and distance that ranks the rows in these lists.

    Attributes:
        distance: `hamming`: Hamming distance of codes. `euclidean`: Euclidean distance of embeddings. `rerank`:
            candidates by Hamming distance, re-ranked by Euclidean distance. `tie_break`: Hamming distance, with ties
            broken by Euclidean distance. `weighted`: weighted sum of both distances.
        nprobe: number of lists to probe, the most probable categories first: 1, 2, …, or `all`.
        rerank_k: number of candidates to re-rank, or fraction of the rows in the probed lists to re-rank; at least as
            many candidates as requested hits are re-ranked.
        alpha: weight of the Hamming distance in `weighted`, 0..1; the Euclidean distance has weight 1 - alpha.
        min_confidence: probe all lists if the highest probability is below `min_confidence`; 0 to disable.
        min_probability: probe further lists, beyond `nprobe`, until the softmax probabilities of the
            probed lists sum to `min_probability`; None to disable.
        coverage: probe further lists, beyond `nprobe`, until this ratio of the queries, above 0 and below 1, is
            promised to have a relevant row in a probed list; needs `calibration`; None to disable.
        calibration: calibration of the model's lists (see `Run.calibrate`), only used with `coverage`.
        list_threshold: lists with at least this probability are probed; None without `coverage` and `calibration`.
        reranker: a user's own class with the interface Reranker, which re-ranks the candidates of `rerank` instead of
            the Euclidean distance; None for the Euclidean distance.
        own_reranker: object of `reranker`; None without one.
    """

    distance: Literal["hamming", "euclidean", "rerank", "tie_break", "weighted"] = "rerank"
    nprobe: NProbe = 1
    rerank_k: PositiveInt | Fraction = 1000
    alpha: Probability = 0.5
    min_confidence: Probability = 0.0
    min_probability: Fraction | None = None
    reranker: Spec | None = None
    coverage: Fraction | None = None
    calibration: CoverageCalibration | None = field(repr=False, compare=False, default=None)
    list_threshold: float | None = field(init=False, repr=False, compare=False, default=None)
    own_reranker: Reranker | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.reranker is not None:
            object.__setattr__(self, "own_reranker", create(self.reranker, Reranker, {}, "search.reranker"))
        if self.calibration is not None and self.coverage is not None and 0 < self.coverage < 1:
            object.__setattr__(self, "list_threshold", self.calibration.threshold(self.coverage))

    def check(self, bits: int | None, num_categories: int) -> None:
        """Check the policy for a model with `num_categories` categories and codes of `bits` bits (None without codes).

        Raises:
            ValueError: `nprobe` is above the number of categories, another setting is out of range, `distance` needs
                codes and the model has none, or `coverage` is combined with another rule that selects lists.
        """
        if self.nprobe != "all" and not 1 <= self.nprobe <= num_categories:
            raise ValueError(
                f"search.nprobe={self.nprobe}: there are {num_categories} categories; set 1 to {num_categories}, or all"
            )
        if self.min_probability is not None and not 0 < self.min_probability < 1:
            raise ValueError(
                f"search.min_probability={self.min_probability}: out of range; set a number between 0 and 1, or null"
            )
        if self.coverage is not None:
            self._check_coverage(self.coverage)
        if not (0 < self.rerank_k < 1 or (isinstance(self.rerank_k, int) and self.rerank_k >= 1)):
            raise ValueError(f"search.rerank_k={self.rerank_k}: out of range; set 1 or more, or a fraction below 1")
        for name, value in (("alpha", self.alpha), ("min_confidence", self.min_confidence)):
            if not 0 <= value <= 1:
                raise ValueError(f"search.{name}={value}: out of range; set a number from 0 to 1")
        if bits is None and self.distance != "euclidean":
            raise ValueError(f"search={self.distance} needs codes, but hash=none has none; set search=euclidean")

    def _check_coverage(self, coverage: float) -> None:
        if not 0 < coverage < 1:
            raise ValueError(f"search.coverage={coverage}: out of range; set a number between 0 and 1, or null")
        if self.nprobe == "all":
            raise ValueError(f"search.coverage={coverage} with search.nprobe=all: set only one of them")
        if self.min_probability is not None:
            raise ValueError(
                f"search.coverage={coverage} with search.min_probability={self.min_probability}: set only one of them"
            )

    def check_calibrated(self) -> None:
        """Check that `coverage` has a calibration.

        Raises:
            ValueError: it has none.
        """
        if self.coverage is not None and self.list_threshold is None:
            raise ValueError(f"search.coverage={self.coverage}: not calibrated; pass the policy to Run.searcher or "
                             "Run.calibrate of a run that was trained with split.calibration=0.5")  # fmt: skip

    def select_lists(self, probabilities: np.ndarray) -> np.ndarray:
        """Select lists to probe, the most probable first.

        Softmax probabilities (Q, C) -> list ids (Q, C) int64, padded with -1. No list is probed for a
        query with all probabilities 0 (no detection).
        """
        order = order_lists(probabilities)
        if self.nprobe == "all":
            return order
        num_probed = np.full(len(probabilities), self.nprobe)
        if self.min_probability is not None:
            cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
            num_probed = np.maximum(num_probed, 1 + (cumulative < self.min_probability).sum(axis=1))
        if self.list_threshold is not None:
            num_probed = np.maximum(num_probed, (probabilities >= self.list_threshold).sum(axis=1))
        num_probed = np.where(probabilities.max(axis=1) < self.min_confidence, probabilities.shape[1], num_probed)
        return np.where(np.arange(probabilities.shape[1]) < num_probed[:, None], order, -1)

    def num_candidates(self, num_probed_rows: np.ndarray, k: int = 1) -> np.ndarray:
        """Number of candidates that `rerank` re-ranks, at least the number of hits k.

        Number of rows in the probed lists (Q,) int -> (Q,) int64.
        """
        if isinstance(self.rerank_k, int):
            return np.full(len(num_probed_rows), max(k, self.rerank_k))
        return np.maximum(k, np.ceil(np.round(self.rerank_k * num_probed_rows, 6))).astype(np.int64)

    @property
    def uses_codes(self) -> bool:
        """True if the distance compares codes."""
        return self.distance != "euclidean"

    @property
    def method(self) -> str:
        """Distance and its parameter, for example `hamming`, `rerank 1000` or `weighted 0.3`."""
        parameter = {"rerank": self.rerank_k, "weighted": self.alpha}.get(self.distance)
        own = type(self.own_reranker).__name__ if self.own_reranker else None
        if isinstance(self.reranker, dict):
            arguments = [f"{name}={value}" for name, value in self.reranker.items() if name != "_target_"]
            own = " ".join([str(own), *arguments])
        return " ".join(str(part) for part in (self.distance, parameter, own) if part is not None)

    @property
    def scope(self) -> str:
        """Probed lists, for example `1 list`, `whole gallery` or `1 list, probability 0.95`."""
        if self.nprobe == "all":
            return "whole gallery"
        scope = f"{self.nprobe} list{'s' if self.nprobe > 1 else ''}"
        scope += f", probability {self.min_probability}" if self.min_probability is not None else ""
        scope += f", coverage {self.coverage}" if self.coverage is not None else ""
        return scope + (f", whole gallery below {self.min_confidence}" if self.min_confidence else "")

    @property
    def label(self) -> str:
        """Method and scope, for example `rerank 1000, 1 list`."""
        return f"{self.method}, {self.scope}"
