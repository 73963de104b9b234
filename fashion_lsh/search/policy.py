"""Search policy: lists to probe, and distance for ranking rows."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from fashion_lsh.io.targets import Spec, create
from fashion_lsh.search.coverage import CoverageCalibration, order_lists
from fashion_lsh.search.list_units import ListUnits, resolve_groups
from fashion_lsh.search.policy_checks import check_policy
from fashion_lsh.search.rerank import Reranker
from fashion_lsh.search.where import parse

NProbe = PositiveInt | Literal["all"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Distance = Annotated[float, Field(ge=0)]
HIT_FILTERS = ("where", "unique_items", "max_distance")  # settings that change the hits, but not the ranking of rows
AUTO_DISTANCES = ("hamming", "euclidean", "rerank")  # distances for which max_distance=auto is calibrated


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
        coverage: probe further lists, beyond `nprobe`, until this ratio of the queries, above 0 and below 1, is
            promised to have a relevant row in a probed list; needs `calibration`; None to disable.
        calibration: calibration of the model's lists (see `Run.calibrate`), only used with `coverage`.
        list_threshold: lists with at least this probability are probed; None without `coverage` and `calibration`.
        reranker: a user's own class with the interface Reranker, which re-ranks the candidates of `rerank` instead of
            the Euclidean distance; None for the Euclidean distance.
        bits: number of first bits of the codes to compare, as if the codes had this length; None for all.
        by: unit of `nprobe` and the thresholds: `category`: the list of one category; `group`: the lists of all
            categories of a group, whose probability is their sum.
        groups: group -> categories, for `by=group`; categories in none have the group of the built-in taxonomy.
        exclude: categories whose lists are never probed; the probabilities of the others are divided by their sum.
        where: filter on columns of the gallery's catalogue, for example `price < 50 and color = 'red'` (see
            `search.where`): the nearest of the rows that pass are found; None to disable.
        unique_items: one hit per item, the nearest; per group of copies for rows without an item.
        max_distance: drop hits that are farther, in the unit of `distance`; `auto` for the value that a run calibrates
            on val (see `search.nearest_relevant`); None to disable.
        own_reranker: object of `reranker`; None without one.
        units: units of lists for `by` and `exclude`, set by `bind`; None for single categories without exclusion.
    """

    distance: Literal["hamming", "euclidean", "rerank", "tie_break", "weighted", "asymmetric"] = "rerank"
    nprobe: NProbe = 1
    rerank_k: PositiveInt | Fraction = 1000
    alpha: Probability = 0.5
    min_confidence: Probability = 0.0
    min_probability: Fraction | None = None
    reranker: Spec | None = None
    rerank_by: Literal["euclidean", "asymmetric"] = "euclidean"
    bits: PositiveInt | None = None
    by: Literal["category", "group"] = "category"
    groups: dict[str, list[str]] | None = None
    exclude: list[str] | None = None
    where: str | None = None
    unique_items: bool = False
    max_distance: Distance | Literal["auto"] | None = None
    coverage: Fraction | None = None
    calibration: CoverageCalibration | None = field(repr=False, compare=False, default=None)
    list_threshold: float | None = field(init=False, repr=False, compare=False, default=None)
    own_reranker: Reranker | None = field(init=False, repr=False, compare=False, default=None)
    units: ListUnits | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.where is not None:
            parse(self.where)
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
        check_policy(self, bits, num_categories)

    def check_auto_distance(self) -> None:
        """Raise ValueError if `max_distance` is `auto`, but is not calibrated for the distance of the policy."""
        is_own = self.distance == "rerank" and (self.reranker is not None or self.rerank_by != "euclidean")
        is_own |= self.distance == "hamming" and self.bits is not None
        if self.max_distance == "auto" and (self.distance not in AUTO_DISTANCES or is_own):
            raise ValueError(
                f"search.max_distance=auto: not calibrated for search={self.method}; set a number, or use one of "
                f"{', '.join(f'search={name}' for name in AUTO_DISTANCES)}"
            )

    def bind(self, categories: Sequence[str]) -> "SearchPolicy":
        """Resolve the names of `by`, `groups` and `exclude` for a model with these categories.

        Raises:
            ValueError: a name is unknown, a category has no group, all are excluded, or `nprobe` is above the number of
                groups or of categories that are left.
        """
        if self.by == "category" and not self.exclude:
            return self
        groups = resolve_groups(categories, self.groups) if self.by == "group" else None
        units = ListUnits.from_names(categories, self.exclude or (), groups)
        if self.nprobe != "all" and self.nprobe > len(units):
            names = "groups" if groups else "categories"
            raise ValueError(f"search.nprobe={self.nprobe}: {len(units)} {names} are left; set at most {len(units)}")
        bound = copy(self)
        object.__setattr__(bound, "units", units)
        return bound

    def check_embeddings(self, has_embeddings: bool) -> None:
        """Check that the gallery stores embeddings if the policy needs them.  Raises ValueError."""
        if self.uses_embeddings and not has_embeddings:
            raise ValueError(
                f"search={self.distance} needs embeddings, but gallery.embeddings=false stores none; set "
                "search=asymmetric, search=hamming or search.rerank_by=asymmetric, or build the gallery with "
                "gallery.embeddings=true"
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

        Raises:
            ValueError: `by` or `exclude` is set, but its names are not resolved (see `bind`).
        """
        if self.units is not None:
            return self.units.lists(self._select_units(self.units.probabilities(probabilities)), probabilities)
        if self.by == "group" or self.exclude:
            raise ValueError(f"search.by={self.by}, search.exclude={self.exclude}: call bind(categories) first")
        return self._select_units(probabilities)

    def _select_units(self, probabilities: np.ndarray) -> np.ndarray:
        """Select the units to probe by their probabilities, as `select_lists` does for lists."""
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
    def ranking(self) -> "SearchPolicy":
        """The policy without HIT_FILTERS: the ranking that an evaluation scores."""
        if self.where is None and not self.unique_items and self.max_distance is None:
            return self
        return replace(self, where=None, unique_items=False, max_distance=None)

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
        """Distance, its parameter and its bits, for example `rerank 1000`, `weighted 0.3` or `hamming 32 bits`."""
        parameter = {"rerank": self.rerank_k, "weighted": self.alpha}.get(self.distance)
        own = type(self.own_reranker).__name__ if self.own_reranker else None
        if isinstance(self.reranker, dict):
            arguments = [f"{name}={value}" for name, value in self.reranker.items() if name != "_target_"]
            own = " ".join([str(own), *arguments])
        own = "asymmetric" if (self.distance, self.rerank_by) == ("rerank", "asymmetric") else own
        bits = None if self.bits is None else f"{self.bits} bits"
        return " ".join(str(part) for part in (self.distance, parameter, own, bits) if part is not None)

    @property
    def scope(self) -> str:
        """Probed lists, for example `1 list`, `whole gallery`, `1 group` or `1 list, probability 0.95, without hat`."""
        excluded = f", without {', '.join(self.exclude)}" if self.exclude else ""
        if self.nprobe == "all":
            return f"whole gallery{excluded}"
        unit = "group" if self.by == "group" else "list"
        scope = f"{self.nprobe} {unit}{'s' if self.nprobe > 1 else ''}"
        if self.by == "group" and self.groups:
            groups = [f"{group}: {' '.join(names)}" for group, names in self.groups.items()]
            scope += f" ({'; '.join(groups)})"
        scope += f", probability {self.min_probability}" if self.min_probability is not None else ""
        scope += f", coverage {self.coverage}" if self.coverage is not None else ""
        return scope + (f", whole gallery below {self.min_confidence}" if self.min_confidence else "") + excluded

    @property
    def label(self) -> str:
        """Method and scope, for example `rerank 1000, 1 list`."""
        return f"{self.method}, {self.scope}"
