"""Search policy: lists to probe, and distance for ranking rows."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from fashion_lsh.io.targets import Spec, create
from fashion_lsh.search.rerank import Reranker

NProbe = PositiveInt | Literal["all"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class SearchPolicy:
    """Inverted lists to probe for a query, and distance that ranks the rows in these lists.

    Attributes:
        distance: `hamming`: Hamming distance of codes. `euclidean`: Euclidean distance of embeddings. `rerank`:
            candidates by Hamming distance, re-ranked by the distance `rerank_by`. `tie_break`: Hamming distance, with
            ties broken by Euclidean distance. `weighted`: weighted sum of both distances. `asymmetric`: distance
            between the activations of the query and codes (see QueryTables); no embeddings are needed.
        nprobe: number of lists to probe, the most probable categories first: 1, 2, …, or `all`.
        rerank_k: number of candidates to re-rank, or fraction of the rows in the probed lists to re-rank; at least as
            many candidates as requested hits are re-ranked.
        rerank_by: distance of `rerank`: `euclidean` of embeddings, or `asymmetric`, which needs no embeddings.
        alpha: weight of the Hamming distance in `weighted`, 0..1; the Euclidean distance has weight 1 - alpha.
        min_confidence: probe all lists if the highest probability is below `min_confidence`; 0 to disable.
        min_probability: probe further lists, beyond `nprobe`, until the softmax probabilities of the
            probed lists sum to `min_probability`; None to disable.
        reranker: a user's own class with the interface Reranker, which re-ranks the candidates of `rerank` instead of
            the Euclidean distance; None for the Euclidean distance.
        own_reranker: object of `reranker`; None without one.
    """

    distance: Literal["hamming", "euclidean", "rerank", "tie_break", "weighted", "asymmetric"] = "rerank"
    nprobe: NProbe = 1
    rerank_k: PositiveInt | Fraction = 1000
    alpha: Probability = 0.5
    min_confidence: Probability = 0.0
    min_probability: Fraction | None = None
    reranker: Spec | None = None
    rerank_by: Literal["euclidean", "asymmetric"] = "euclidean"
    own_reranker: Reranker | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.reranker is not None:
            object.__setattr__(self, "own_reranker", create(self.reranker, Reranker, {}, "search.reranker"))

    def check(self, bits: int | None, num_categories: int) -> None:
        """Check the policy for a model with `num_categories` categories and codes of `bits` bits (None without codes).

        Raises:
            ValueError: `nprobe` is above the number of categories, another setting is out of range, or `distance` needs
                codes and the model has none.
        """
        if self.nprobe != "all" and not 1 <= self.nprobe <= num_categories:
            raise ValueError(
                f"search.nprobe={self.nprobe}: there are {num_categories} categories; set 1 to {num_categories}, or all"
            )
        if self.min_probability is not None and not 0 < self.min_probability < 1:
            raise ValueError(
                f"search.min_probability={self.min_probability}: out of range; set a number between 0 and 1, or null"
            )
        if not (0 < self.rerank_k < 1 or (isinstance(self.rerank_k, int) and self.rerank_k >= 1)):
            raise ValueError(f"search.rerank_k={self.rerank_k}: out of range; set 1 or more, or a fraction below 1")
        for name, value in (("alpha", self.alpha), ("min_confidence", self.min_confidence)):
            if not 0 <= value <= 1:
                raise ValueError(f"search.{name}={value}: out of range; set a number from 0 to 1")
        if self.rerank_by != "euclidean" and self.reranker is not None:
            raise ValueError(
                f"search.rerank_by={self.rerank_by}: search.reranker={self.reranker!r} re-ranks instead; "
                "set only one of them"
            )
        if bits is None and self.distance != "euclidean":
            raise ValueError(f"search={self.distance} needs codes, but hash=none has none; set search=euclidean")

    def check_embeddings(self, has_embeddings: bool) -> None:
        """Check that the gallery stores embeddings if the policy needs them.  Raises ValueError."""
        if self.uses_embeddings and not has_embeddings:
            raise ValueError(
                f"search={self.distance} needs embeddings, but gallery.embeddings=false stores none; set "
                "search=asymmetric, search=hamming or search.rerank_by=asymmetric, or build the gallery with "
                "gallery.embeddings=true"
            )

    def select_lists(self, probabilities: np.ndarray) -> np.ndarray:
        """Select lists to probe, the most probable first.

        Softmax probabilities (Q, C) -> list ids (Q, C) int64, padded with -1. No list is probed for a
        query with all probabilities 0 (no detection).
        """
        order = np.argsort(-probabilities, axis=1, kind="stable")
        order[~probabilities.any(axis=1)] = -1
        if self.nprobe == "all":
            return order
        num_probed = np.full(len(probabilities), self.nprobe)
        if self.min_probability is not None:
            cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
            num_probed = np.maximum(num_probed, 1 + (cumulative < self.min_probability).sum(axis=1))
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
    def uses_embeddings(self) -> bool:
        """True if the search compares embeddings, which the gallery must then store."""
        if self.distance == "rerank":
            return self.rerank_by == "euclidean"
        return self.distance not in ("hamming", "asymmetric")

    @property
    def method(self) -> str:
        """Distance and its parameter, for example `hamming`, `rerank 1000` or `weighted 0.3`."""
        parameter = {"rerank": self.rerank_k, "weighted": self.alpha}.get(self.distance)
        own = type(self.own_reranker).__name__ if self.own_reranker else None
        if isinstance(self.reranker, dict):
            arguments = [f"{name}={value}" for name, value in self.reranker.items() if name != "_target_"]
            own = " ".join([str(own), *arguments])
        own = "asymmetric" if (self.distance, self.rerank_by) == ("rerank", "asymmetric") else own
        return " ".join(str(part) for part in (self.distance, parameter, own) if part is not None)

    @property
    def scope(self) -> str:
        """Probed lists, for example `1 list`, `whole gallery` or `1 list, probability 0.95`."""
        if self.nprobe == "all":
            return "whole gallery"
        scope = f"{self.nprobe} list{'s' if self.nprobe > 1 else ''}"
        scope += f", probability {self.min_probability}" if self.min_probability is not None else ""
        return scope + (f", whole gallery below {self.min_confidence}" if self.min_confidence else "")

    @property
    def label(self) -> str:
        """Method and scope, for example `rerank 1000, 1 list`."""
        return f"{self.method}, {self.scope}"
