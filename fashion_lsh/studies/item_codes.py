"""Compare codes of items on the cached features of one classifier, over code lengths and seeds."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import PositiveInt

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.metrics.results import ONE_LIST
from fashion_lsh.metrics.statistics import Difference, paired_difference
from fashion_lsh.models.checkpoints import load_model, read_hyper_parameters
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.models.item_codes import ItemCodeModel
from fashion_lsh.report.page_file import Row
from fashion_lsh.runs.component_versions import own_code, used_versions
from fashion_lsh.runs.environment import environment
from fashion_lsh.runs.training_run import FEATURES_FOLDER
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import item_codes_page
from fashion_lsh.studies.item_code_methods import ITEM_LDA_EMBEDDING, MAIN, METHODS
from fashion_lsh.studies.item_code_scores import (
    Searches,
    code_searches,
    read_searches,
    save_searches,
    vector_searches,
)
from fashion_lsh.studies.item_codes_page import BASELINE
from fashion_lsh.studies.item_views import ItemSearch, encode_item_search
from fashion_lsh.training.feature_fits import FeatureClassifier, accelerator_name, feature_classifier, fit_code

log = logging.getLogger(__name__)

FORMAT = 1  # raised when the kept scores change
SCORES_FOLDER = "item_codes/scores"  # below the run folder: one file per method, length and seed


class Fit(NamedTuple):
    """One training: a method and a seed.

    Attributes:
        method: name of the method.
        settings: hash stage, as `_target_` and arguments.
        bits: code length.
        lengths: code lengths to score, `bits` or shorter.
        seed: seed of the training.
    """

    method: str
    settings: dict[str, Any]
    bits: int
    lengths: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class ItemCodes:
    """Comparison of codes on the features of one classifier; call the object to run the comparison.

    The scores of each fit are kept in the run folder, so that an interrupted comparison continues where it stopped.
    They are not reused with other settings, features or versions of components.

    Attributes:
        bits: code lengths of `methods`.
        seeds: seeds of the training of `methods`.
        views: number of augmented views of each training image.
        methods: names of METHODS; None: MAIN. A method with `prefixes: shorter` is trained at the largest length alone;
            its other lengths are prefixes of that code.
        further_methods: names of METHODS with fewer lengths and seeds; None: all that are not in `methods`.
        further_bits: code lengths of `further_methods`.
        further_seeds: seeds of `further_methods`.
        own: further hash stages by name, as `_target_` and arguments of a config `hash`; treated as `methods`.
    """

    bits: list[PositiveInt]
    seeds: list[int]
    views: PositiveInt = 2
    methods: list[str] | None = None
    further_methods: list[str] | None = None
    further_bits: Sequence[PositiveInt] = (24, 48)
    further_seeds: Sequence[int] = (0, 1, 2, 3, 4)
    own: dict[str, dict[str, Any]] | None = None

    def __call__(self, model: CropModel, data: GarmentData, _policy: SearchPolicy, folder: Path) -> list[Row]:
        """Return one row per method, length, search, relevance, scope and metric.

        Args:
            model: model of the run, on the device to use. Its features are not used, since its backbone may have been
                trained with a hash layer.
            data: data of the run.
            folder: run folder, with the trained classifier.

        Raises:
            ValueError: a method cannot be created, or the data have no items and no images.
        """
        fits = list(self.fits())
        classifier = load_model(folder / "classifier.ckpt", accelerator_name(model))
        wide = ItemCodeModel(
            backbone=read_hyper_parameters(folder / "classifier.ckpt")["backbone"], categories=classifier.categories,
            bits=8, levels=True, image_size=classifier.image_size, margin=classifier.margin,
        )  # fmt: skip
        wide = wide.start_from(classifier).to(classifier.device)
        if data.has_images:
            data = cache_features(wide, data, folder.parent.parent / FEATURES_FOLDER, self.views)
        search = encode_item_search(wide, data)
        features = feature_classifier(classifier, wide.backbone.feature_dim)
        length = min(ITEM_LDA_EMBEDDING["embedding_dim"], wide.backbone.feature_dim // 2)
        item_lda = fit_code(features, data, ITEM_LDA_EMBEDDING | {"embedding_dim": length}, 8, 0, folder)
        rows = [row for name, found in vector_searches(classifier, search, item_lda).items()
                for row in code_rows(name, 0, [found], search.query.items)]  # fmt: skip
        rows += self._code_rows(self._scores(fits, features, data, search, folder), search.query.items)
        shared = {"items": "views" if search.are_views else "data", "gallery": len(search.gallery.items)}
        return [row | shared | environment(gpu=False) for row in rows]

    def fits(self) -> Iterator[Fit]:
        """Yield the trainings, all methods with the first seed first.

        Raises:
            ValueError: the name of a method is unknown.
        """
        names = list(MAIN) if self.methods is None else self.methods
        others = self.further_methods
        others = [name for name in METHODS if name not in names] if others is None else others
        for key, values in (("methods", names), ("further_methods", others)):
            if unknown := [name for name in values if name not in METHODS]:
                raise ValueError(f"study.{key}={unknown}: unknown; set names of {', '.join(METHODS)}, or study.own")
        main = {name: METHODS[name] for name in names} | (self.own or {})
        for seed in dict.fromkeys((*self.seeds, *self.further_seeds)):
            if seed in self.seeds:
                yield from (fit for name in main for fit in _fits(name, main[name], self.bits, seed))
            if seed in self.further_seeds:
                yield from (fit for name in others for fit in _fits(name, METHODS[name], self.further_bits, seed))

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows; no figures."""
        return item_codes_page.page(rows)

    def _scores(
        self, fits: Sequence[Fit], classifier: FeatureClassifier, data: GarmentData, search: ItemSearch, folder: Path
    ) -> dict[tuple[str, int], dict[int, Searches]]:
        """Scores by method and length, then seed; read from the run folder where they are kept."""
        shared = (FORMAT, self.views, search.digest())
        found: dict[tuple[str, int], dict[int, Searches]] = {}
        for number, each in enumerate(fits):
            paths = {length: folder / SCORES_FOLDER / _file_name(each, length, shared) for length in each.lengths}
            kept = {length: read_searches(path) for length, path in paths.items()}
            scores = {length: searches for length, searches in kept.items() if searches is not None}
            if len(scores) < len(kept):
                trained = fit_code(classifier, data, each.settings, each.bits, each.seed, folder)
                scores = code_searches(trained, search, each.lengths)
                for length, path in paths.items():
                    save_searches(path, scores[length])
            for length, searches in scores.items():
                found.setdefault((each.method, length), {})[each.seed] = searches
                recall = searches["hamming"].scores["item", ONE_LIST, "recall", 10].mean()
                log.info("%d of %d: %s, %d bits, seed %d: item recall@10 in one list %.3f", number + 1, len(fits),
                         each.method, length, each.seed, recall)  # fmt: skip
        return found

    def _code_rows(self, scores: dict[tuple[str, int], dict[int, Searches]], items: np.ndarray) -> list[Row]:
        """Rows of all codes, with the difference from BASELINE at the same length."""
        rows = []
        methods = dict.fromkeys(name for name, _ in scores)
        for method, bits in sorted(scores, key=lambda key: (list(methods).index(key[0]), key[1])):
            by_seed, base = scores[method, bits], scores.get((BASELINE, bits), {})
            seeds = [seed for seed in by_seed if seed in base and method != BASELINE]
            for row in code_rows(method, bits, list(by_seed.values()), items):
                if seeds:
                    pair = ([_values(each[seed], row) for seed in seeds] for each in (base, by_seed))
                    gain = paired_difference(next(pair), next(pair), items)
                    row |= {"gain": gain.mean, "gain low": gain.low, "gain high": gain.high, "gain p": gain.p}
                rows.append(row)
        return rows


def _fits(name: str, settings: dict[str, Any], bits: Sequence[int], seed: int) -> Iterator[Fit]:
    """Trainings of one method with one seed: one per length, or one for all if the shorter codes are prefixes."""
    if settings.get("prefixes") == "shorter":
        *shorter, longest = sorted(bits)
        yield Fit(name, settings | {"prefixes": shorter or None}, longest, tuple(sorted(bits)), seed)
    else:
        yield from (Fit(name, settings, length, (length,), seed) for length in bits)


def _file_name(fit: Fit, length: int, shared: tuple[object, ...]) -> str:
    """Name of the file of the scores of one length, with a hash of all that determines them."""
    code = used_versions(fit.settings) | own_code(fit.settings)
    key = [fit.settings, code, fit.bits, length, fit.seed, *shared]
    return f"{length}-{fit.seed}-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.npz"


def code_rows(method: str, bits: int, scores: Sequence[Searches], items: np.ndarray) -> list[Row]:
    """Rows of all seeds: mean over seeds and queries, with an interval for new seeds and items."""
    rows: list[Row] = []
    for search, first in scores[0].items():
        for relevance, scope, metric, k in first.scores:
            row: Row = {"method": method, "bits": bits, "bytes": first.num_bytes, "search": search,
                        "relevance": relevance, "scope": scope, "metric": metric, "k": k or "all"}  # fmt: skip
            values = [_values(each, row) for each in scores]
            mean: Difference = paired_difference([np.zeros_like(each) for each in values], values, items)
            rows.append(row | {"value": mean.mean, "low": mean.low, "high": mean.high, "seeds": len(values),
                               "queries": len(items)})  # fmt: skip
    return rows


def _values(searches: Searches, row: Row) -> np.ndarray:
    """Scores of the queries (Q,) of the search, relevance, scope and metric of a row; 0 without relevant images."""
    k = 0 if row["k"] == "all" else row["k"]
    scores = searches[row["search"]].scores[row["relevance"], row["scope"], row["metric"], k]
    return np.nan_to_num(scores.astype(float))
