"""Scores of codes and vectors for `experiment=item_codes`, in memory and in one file per fit."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fashion_lsh.evaluation.scoring import probed_rows
from fashion_lsh.index.codes import code_bytes, pack
from fashion_lsh.index.quantizers import QuantizedVectors
from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.ranking import ALL, Scores
from fashion_lsh.metrics.results import ONE_LIST, WHOLE_GALLERY
from fashion_lsh.metrics.retrieval import Relevance, score_codes, score_embeddings, score_quantized
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.studies.item_views import ItemSearch

log = logging.getLogger(__name__)

METRICS = (("recall", 1), ("recall", 10), ("map", ALL))
SEPARATOR = "/"  # between the parts of the name of an array in a file

Score = Callable[[Relevance, Callable[[slice], np.ndarray] | None, Sequence[int]], Scores]
QueryScores = dict[tuple[str, str, str, int], np.ndarray]  # relevance, scope, metric, k -> (Q,) float32


class Search(NamedTuple):
    """Scores of one search, and its bytes per garment in the gallery."""

    num_bytes: int
    scores: QueryScores


Searches = dict[str, Search]  # by name of the search


@torch.inference_mode()
def outputs(model: CodeModel, features: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs for features: predicted categories (n,) int64, activations above the threshold (n, bits), embedding."""
    wide = features[:, : model.backbone.feature_dim].to(model.device)
    logits, activations, embedding = model.eval()(wide)
    return logits.argmax(dim=1).cpu().numpy(), *(
        each.float().cpu().numpy() for each in (activations - model.threshold, embedding)
    )


def code_searches(model: CodeModel, search: ItemSearch, lengths: Sequence[int]) -> dict[int, Searches]:
    """Scores of codes of one fit, by code length and search; a shorter code is a prefix.

    `hamming`: code against code; also by category. `asymmetric`: activations of the query against the code, by cosine
    (A. Gordo et al.: Asymmetric Distances for Binary Embeddings, TPAMI 2014). `rabitq`: the same against RaBitQ's code,
    which keeps two factors of 4 bytes beside the signs (see QuantizedVectors). `activations`: activations against
    activations, by cosine.
    """
    (predicted, all_query, _), (lists, all_gallery, _), (_, all_train, _) = (
        outputs(model, features) for features in (search.query.features, search.gallery.features, search.train)
    )
    found: dict[int, Searches] = {}
    for bits in lengths:
        query, gallery = all_query[:, :bits], all_gallery[:, :bits]
        signs = np.where(gallery > 0, 1, -1).astype(np.float32)
        quantized = QuantizedVectors("rabitq", unit(all_train[:, :bits]), unit(gallery))
        methods: dict[str, tuple[int, Score]] = {
            "hamming": (code_bytes(bits), partial(score_codes, pack(query, 0.0), pack(gallery, 0.0))),
            "asymmetric": (code_bytes(bits), partial(score_embeddings, unit(query), unit(signs))),
            "rabitq": (quantized.vector_bytes, partial(score_quantized, unit(query), quantized)),
            "activations": (2 * bits, partial(score_embeddings, unit(query), unit(gallery))),
        }
        found[bits] = {
            name: Search(size, scope_scores(score, search, predicted, lists, by_category=name == "hamming"))
            for name, (size, score) in methods.items()
        }
        accuracy = (predicted == search.query.categories).astype(np.float32)
        found[bits]["hamming"].scores["category", ONE_LIST, "accuracy", 1] = accuracy
    return found


def scope_scores(
    score: Score, search: ItemSearch, predicted: np.ndarray, lists: np.ndarray, by_category: bool = True
) -> QueryScores:
    """Scores of each query by relevance, scope, metric and k.

    Args:
        score: function of relevance, probed rows and cutoff ranks.
        search: queries and gallery.
        predicted: (Q,) int64 predicted category of each query.
        lists: (N,) int64 inverted list of each gallery row.
        by_category: whether relevance by category is scored, too.
    """
    scopes = {WHOLE_GALLERY: None, ONE_LIST: probed_rows(predicted[:, None], lists)}
    found: QueryScores = {}
    for scope, find_probed in scopes.items():
        for name, relevance in search.relevance().items():
            if name == "item" or by_category:
                values = score(relevance, find_probed, (1, 10, ALL))
                found |= {(name, scope, metric, k): values[metric, k].astype(np.float32) for metric, k in METRICS}
    return found


def vector_searches(classifier: CropModel, search: ItemSearch, item_lda: CodeModel) -> dict[str, Searches]:
    """Scores of vectors: image descriptors, features of the classifier and of its levels, and axes of item-LDA.

    Features and axes are scored in float32 (features) or float16 (axes), and in 8 bits per value.

    Args:
        classifier: classifier of the features.
        search: queries, gallery and training images.
        item_lda: network whose embedding has the axes of item-LDA.
    """
    base = classifier.backbone.feature_dim
    features = (search.query.features, search.gallery.features, search.train)
    predicted, lists, _ = (outputs(item_lda, each)[0] for each in features)
    query, gallery, train = (outputs(item_lda, each)[2] for each in features)
    vectors = {name: (4, search.query.descriptors[name], search.gallery.descriptors[name])
               for name in search.query.descriptors}  # fmt: skip
    (base_query, base_gallery, base_train), (all_query, all_gallery, all_train) = (
        [unit(each[:, :length]) for each in features] for length in (base, features[0].shape[1])
    )
    axes = f"item_lda, {gallery.shape[1]} axes"
    vectors |= {
        "features": (4, base_query, base_gallery),
        "features and levels": (4, all_query, all_gallery),
        axes: (2, query, gallery.astype(np.float16).astype(np.float32)),
    }
    trained = {"features": base_train, "features and levels": all_train, axes: train}
    found: dict[str, Searches] = {}
    for name, (size, own_query, own_gallery) in vectors.items():
        methods: dict[str, tuple[int, Score]] = {
            "float": (size * own_gallery.shape[1], partial(score_embeddings, own_query, own_gallery))
        }
        if name in trained:
            quantized = QuantizedVectors("int8", trained[name], own_gallery)
            methods["int8"] = (quantized.vector_bytes, partial(score_quantized, own_query, quantized))
        found[name] = {each: Search(num_bytes, scope_scores(score, search, predicted, lists))
                       for each, (num_bytes, score) in methods.items()}  # fmt: skip
    return found


def unit(vectors: np.ndarray | Tensor) -> np.ndarray:
    """Vectors of norm 1; a zero vector stays 0."""
    return np.asarray(functional.normalize(torch.as_tensor(vectors), dim=1))


def save_searches(path: Path, searches: Searches) -> None:
    """Write the scores of one fit to an .npz file."""
    arrays = {f"{name}{SEPARATOR}bytes": np.array(found.num_bytes) for name, found in searches.items()}
    for name, found in searches.items():
        arrays |= {SEPARATOR.join(map(str, (name, *key))): values
                   for key, values in found.scores.items()}  # fmt: skip
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_searches(path: Path) -> Searches | None:
    """Read the scores of one fit; None if the file is missing or damaged, which is logged."""
    if not path.exists():
        return None
    found: Searches = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                name, *parts = key.split(SEPARATOR)
                if parts == ["bytes"]:
                    found[name] = Search(int(arrays[key]), {})
            for key in arrays.files:
                name, *parts = key.split(SEPARATOR)
                if len(parts) == 4:
                    relevance, scope, metric, k = parts
                    found[name].scores[relevance, scope, metric, int(k)] = arrays[key]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("%s is damaged (%s: %s); the method is fitted again", path, type(error).__name__, error)
        return None
    return found
