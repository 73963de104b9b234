"""Scores as files: one row a query, and flat means."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.evaluation.ranking import confidence_interval
from fashion_lsh.evaluation.scores import Scores
from fashion_lsh.retrieval.encoding import Encoded

ABOUT = ("id", "category", "item")


def query_table(
    label: str, query: Catalogue, predicted: list[str], scores: Mapping[str, Scores], milliseconds: np.ndarray
) -> pa.Table:
    """One row a query of one search setting: ids, true and predicted category, every score, and the time."""
    columns: dict[str, object] = {"search": [label] * len(query)}
    columns |= {name: query.column(name) for name in ABOUT}
    columns |= {"predicted": predicted, "search_ms": milliseconds}
    columns |= {f"{truth}/{name}": values for truth, found in scores.items() for name, values in found.items()}
    return pa.table(columns)


def means(prefix: str, scores: Mapping[str, Scores]) -> dict[str, float]:
    """Flat means over the queries that have something to find: `<prefix>/<item or category>/<metric>`."""
    return {
        f"{prefix}/{truth}/{name}": float(np.nanmean(values))
        for truth, found in scores.items()
        for name, values in found.items()
    }


def intervals(prefix: str, scores: Mapping[str, Scores], items: np.ndarray) -> dict[str, float]:
    """95 % bootstrap intervals of those means, all queries of an item drawn together: `…_low` and `…_high`."""
    alone = np.char.add("query ", np.arange(len(items)).astype(str))
    groups = np.where(items == "", alone, items).astype(str)
    ends: dict[str, float] = {}
    for truth, found in scores.items():
        for name, values in found.items():
            low, high = confidence_interval(values, groups)
            ends |= {f"{prefix}/{truth}/{name}_low": low, f"{prefix}/{truth}/{name}_high": high}
    return ends


def by_shared_garment(item_scores: Scores, query: Catalogue, gallery: Catalogue) -> dict[str, float]:
    """Item scores apart for queries whose garment another item in the gallery shares, and for those alone."""
    of_group: dict[str, set[str]] = defaultdict(set)
    for group, item in zip(gallery.column("group"), gallery.column("item"), strict=True):
        of_group[group].add(item)
    asked = zip(query.column("group"), query.column("item"), strict=True)
    shared = np.array([group != "" and bool(of_group[group] - {item}) for group, item in asked])
    parts = {"garment_shared": shared, "garment_alone": ~shared}
    return {
        f"query/item/{name}_{part}": float(np.nanmean(values[which]))
        for part, which in parts.items()
        if which.any()
        for name, values in item_scores.items()
    }


def classification(encoded: Encoded, labels: np.ndarray) -> dict[str, float]:
    """`query/accuracy`, `query/top5_accuracy` and `query/macro_f1` of the category head."""
    masses, truth = from_numpy(encoded.masses), from_numpy(labels)
    count = masses.shape[1]
    top5 = multiclass_accuracy(masses, truth, count, average="micro", top_k=min(5, count))
    return {
        "query/accuracy": float(multiclass_accuracy(masses, truth, count, average="micro")),
        "query/top5_accuracy": float(top5),
        "query/macro_f1": float(multiclass_f1_score(masses, truth, count, average="macro")),
    }
