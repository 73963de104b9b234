"""Compare codes of items on the cached features of one classifier, over code lengths and seeds."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import with_first_features
from fashion_lsh.evaluation.scoring import probed_rows
from fashion_lsh.index.codes import code_bytes, pack
from fashion_lsh.io.targets import instantiate
from fashion_lsh.metrics.ranking import ALL, Scores
from fashion_lsh.metrics.results import ONE_LIST, WHOLE_GALLERY
from fashion_lsh.metrics.retrieval import Relevance, score_codes, score_embeddings
from fashion_lsh.metrics.statistics import paired_difference
from fashion_lsh.models.checkpoints import load_model, read_hyper_parameters
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.feature_cache import cache_features
from fashion_lsh.models.item_codes import ItemCodeModel
from fashion_lsh.runs.environment import environment
from fashion_lsh.runs.training_run import FEATURES_FOLDER
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.studies import item_codes_page
from fashion_lsh.studies.item_code_methods import METHODS
from fashion_lsh.studies.item_views import ItemSearch, encode_item_search
from fashion_lsh.training.fitting import fit

log = logging.getLogger(__name__)

METRICS = (("recall", 1), ("recall", 10), ("map", ALL))

Row = dict[str, Any]
Score = Callable[[Relevance, Callable[[slice], np.ndarray] | None, Sequence[int]], Scores]
QueryScores = dict[tuple[str, str, str, int], np.ndarray]  # relevance, scope, metric, k -> (Q,)


class Search(NamedTuple):
    """Scores of one search, and the size of what it keeps of a garment in bytes."""

    num_bytes: int
    scores: QueryScores


@dataclass(frozen=True)
class ItemCodes:
    """Comparison of codes on the features of one classifier; call the object to run the comparison.

    Attributes:
        methods: names of METHODS; None: all. A method with `prefixes: shorter` is trained at the largest length alone;
            its other lengths are prefixes of that code.
        own: further hash stages by name, as `_target_` and arguments of a config `hash`.
        bits: code lengths.
        seeds: seeds of the training.
        views: number of augmented views of each training image.
    """

    bits: list[PositiveInt]
    seeds: list[int]
    views: PositiveInt = 2
    methods: list[str] | None = None
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
        classifier = load_model(folder / "classifier.ckpt", _accelerator(model))
        backbone = read_hyper_parameters(folder / "classifier.ckpt")["backbone"]
        options = {"backbone": backbone, "categories": classifier.categories,
                   "image_size": classifier.image_size, "margin": classifier.margin}  # fmt: skip
        wide = ItemCodeModel(bits=8, levels=True, **options).start_from(classifier).to(classifier.device)
        search = encode_item_search(wide, data)
        data = (
            cache_features(wide, data, folder.parent.parent / FEATURES_FOLDER, self.views) if data.has_images else data
        )
        items = search.query.items
        rows = [row for name, found in vector_searches(classifier, search).items()
                for row in _rows(name, 0, [found], items)]  # fmt: skip
        for name, settings in self._stages().items():
            is_nested = settings.get("prefixes") == "shorter"
            for bits in [max(self.bits)] if is_nested else self.bits:
                settings = settings | ({"prefixes": sorted(self.bits)[:-1]} if is_nested else {})
                fits = [self._fit(classifier, data, settings, options, bits, seed, folder / "item_codes")
                        for seed in self.seeds]  # fmt: skip
                for length in self.bits if is_nested else [bits]:
                    found = [code_searches(each, search, length) for each in fits]
                    rows += _rows(name, length, found, items)
                    recall = np.mean([each["hamming"].scores["item", ONE_LIST, "recall", 10] for each in found])
                    log.info("%s, %d bits: item recall@10 in one list %.3f", name, length, recall)
        return [{**row, "items": "views" if search.are_views else "data", **environment(gpu=False)} for row in rows]

    def _stages(self) -> dict[str, dict[str, Any]]:
        """Hash stages to compare, by name.  Raises ValueError for an unknown name."""
        names = list(METHODS) if self.methods is None else self.methods
        if unknown := [name for name in names if name not in METHODS]:
            raise ValueError(f"study.methods={unknown}: unknown; set names of {', '.join(METHODS)}, or study.own")
        return {name: METHODS[name] for name in names} | (self.own or {})

    def page(self, rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
        """Markdown page of the measured rows; no figures."""
        return item_codes_page.page(rows)

    def _fit(
        self, classifier: CropModel, data: GarmentData, settings: Mapping[str, Any], options: Mapping[str, Any],
        bits: int, seed: int, folder: Path,
    ) -> CodeModel:  # fmt: skip
        """Train one method in a temporary folder."""
        torch.manual_seed(seed)  # initial weights
        stage: Any = instantiate(settings, nn.Module, **options, bits=bits, seed=seed)
        stage = stage.start_from(classifier)
        network = getattr(stage, "model", stage)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            features = with_first_features(data, network.backbone.feature_dim).replace(seed=seed)
            trained: CodeModel = fit(
                stage, features, folder, accelerator=_accelerator(classifier), enable_progress_bar=False
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return trained


@torch.inference_mode()
def outputs(model: CodeModel, features: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs for features: predicted categories (n,) int64, activations above the threshold (n, bits), embedding."""
    wide = features[:, : model.backbone.feature_dim].to(model.device)
    logits, activations, embedding = model.eval()(wide)
    return logits.argmax(dim=1).cpu().numpy(), *(
        each.float().cpu().numpy() for each in (activations - model.threshold, embedding)
    )


def code_searches(model: CodeModel, search: ItemSearch, bits: int) -> dict[str, Search]:
    """Scores of the first `bits` bits of the codes of one fit, by search.

    `hamming`: code against code. `asymmetric`: activations of the query against the code, by cosine (A. Gordo et al.:
    Asymmetric Distances for Binary Embeddings, TPAMI 2014). `activations`: activations against activations, by cosine.
    `embedding` and `embedding_int8`: embeddings in float16 or in 8 bits, by Euclidean distance.
    """
    (predicted, query, query_embedding), (lists, gallery, embedding) = (
        outputs(model, each.features) for each in (search.query, search.gallery)
    )
    query, gallery, length = query[:, :bits], gallery[:, :bits], embedding.shape[1]
    signs = np.where(gallery > 0, 1, -1).astype(np.float32)
    methods: dict[str, tuple[int, Score]] = {
        "hamming": (code_bytes(bits), partial(score_codes, pack(query, 0.0), pack(gallery, 0.0))),
        "asymmetric": (code_bytes(bits), partial(score_embeddings, unit(query), unit(signs))),
        "activations": (2 * bits, partial(score_embeddings, unit(query), unit(gallery))),
    }
    scale = np.abs(embedding).max() / 127
    rounded = (np.round(embedding / scale) * scale).astype(np.float32)
    half = embedding.astype(np.float16).astype(np.float32)
    methods["embedding"] = (2 * length, partial(score_embeddings, query_embedding, half))
    methods["embedding_int8"] = (length, partial(score_embeddings, query_embedding, rounded))
    found = {
        name: Search(size, scope_scores(score, search, predicted, lists)) for name, (size, score) in methods.items()
    }
    accuracy = (predicted == search.query.categories).astype(float)
    found["hamming"].scores["category", ONE_LIST, "accuracy", 1] = accuracy
    return found


def scope_scores(score: Score, search: ItemSearch, predicted: np.ndarray, lists: np.ndarray) -> QueryScores:
    """Scores of each query by relevance, scope, metric and k.

    Args:
        score: function of relevance, probed rows and cutoff ranks.
        search: queries and gallery.
        predicted: (Q,) int64 predicted category of each query.
        lists: (N,) int64 inverted list of each gallery row.
    """
    scopes = {WHOLE_GALLERY: None, ONE_LIST: probed_rows(predicted[:, None], lists)}
    found: QueryScores = {}
    for scope, find_probed in scopes.items():
        for name, relevance in search.relevance().items():
            values = score(relevance, find_probed, (1, 10, ALL))
            found |= {(name, scope, metric, k): values[metric, k] for metric, k in METRICS}
    return found


def vector_searches(classifier: CropModel, search: ItemSearch) -> dict[str, dict[str, Search]]:
    """Scores of vectors without training: image descriptors, and the features of the classifier and of its levels."""
    base = classifier.backbone.feature_dim
    query, gallery = search.query, search.gallery
    pairs = {name: (query.descriptors[name], gallery.descriptors[name]) for name in query.descriptors}
    pairs |= {"features": (unit(query.features[:, :base]), unit(gallery.features[:, :base])),
              "features and levels": (unit(query.features), unit(gallery.features))}  # fmt: skip
    with torch.inference_mode():
        predicted, lists = (
            classifier(each.features[:, :base].to(classifier.device)).logits.argmax(dim=1).cpu().numpy()
            for each in (query, gallery)
        )
    return {
        name: {"float": Search(4 * pair[0].shape[1],
                               scope_scores(partial(score_embeddings, *pair), search, predicted, lists))}
        for name, pair in pairs.items()
    }  # fmt: skip


def unit(vectors: np.ndarray | Tensor) -> np.ndarray:
    """Vectors of norm 1; a zero vector stays 0."""
    return np.asarray(functional.normalize(torch.as_tensor(vectors), dim=1))


def _rows(method: str, bits: int, scores: Sequence[dict[str, Search]], items: np.ndarray) -> list[Row]:
    """Rows of all seeds: mean over seeds and queries, with an interval for new seeds and items."""
    rows: list[Row] = []
    for search in scores[0]:
        by_seed = [each[search] for each in scores]
        for relevance, scope, metric, k in by_seed[0].scores:
            values = [np.nan_to_num(each.scores[relevance, scope, metric, k]) for each in by_seed]
            mean = paired_difference([np.zeros_like(each) for each in values], values, items)
            rows.append({
                "method": method, "bits": bits, "bytes": by_seed[0].num_bytes, "search": search, "relevance": relevance,
                "scope": scope, "metric": metric, "k": k or "all",
                "value": mean.mean, "low": mean.low, "high": mean.high, "seeds": len(values), "queries": len(items),
            })  # fmt: skip
    return rows


def _accelerator(model: CropModel) -> str:
    """Lightning's name of the device of a model."""
    return {"cuda": "gpu"}.get(model.device.type, model.device.type)
