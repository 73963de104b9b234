"""Scores as files: one row a query, and flat means."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.io.files import written
from fashion_lsh.metrics.ranking import Scores, blocks
from fashion_lsh.models.encoding import Encoded

ABOUT = ("id", "category", "item")


def query_table(
    label: str, query: Catalogue, answers: Mapping[str, Sequence[Any] | np.ndarray], scores: Mapping[str, Scores]
) -> pa.Table:
    """One row a query of one search setting: ids, true category, what was answered, and every score.

    Args:
        label: names the search setting.
        query: Q rows.
        answers: (Q,) each: `predicted` category, `mass` of it, ids of the first `hits`, and `search_ms`.
        scores: by category and by item, (Q,) each.
    """
    columns: dict[str, Any] = {"search": [label] * len(query)}
    columns |= {name: query.column(name) for name in ABOUT}
    columns |= answers
    columns |= {f"{truth}/{name}": values for truth, found in scores.items() for name, values in found.items()}
    return pa.table(columns)


def write_queries(path: Path, table: pa.Table) -> None:
    """Add the rows of one search setting to the file of a run, in place of older ones of the same setting.

    Raises:
        ValueError: the file is damaged.
        OSError: it could not be written.
    """
    if path.exists():
        try:
            old = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} is damaged ({error}): remove it and metrics.json, and train.py writes it again"
            ) from error
        others = old.filter(pc.not_equal(old["search"], table["search"][0]))
        table = pa.concat_tables([others, table], promote_options="default")
    with written(path) as draft:
        pq.write_table(table, draft)


def means(prefix: str, scores: Mapping[str, Scores]) -> dict[str, float]:
    """Flat means over the queries that have something to find: `<prefix>/<item or category>/<metric>`."""
    return {
        f"{prefix}/{truth}/{name}": float(np.nanmean(values))
        for truth, found in scores.items()
        for name, values in found.items()
    }


def intervals(prefix: str, scores: Mapping[str, Scores], items: np.ndarray) -> dict[str, float]:
    """95 % bootstrap intervals of those means, all queries of an item drawn together: `…_low` and `…_high`.

    scores: (Q,) float each, NaN where there is nothing to find; items: (Q,) str, "" of a query without one.
    """
    ends: dict[str, float] = {}
    for truth, found in scores.items():
        for name, values in found.items():
            ends |= ends_of(f"{prefix}/{truth}/{name}", values, items)
    return ends


def ends_of(name: str, values: np.ndarray, items: np.ndarray) -> dict[str, float]:
    """`<name>_low` and `<name>_high` of the mean of (Q,) values; queries without an item, "", are drawn alone."""
    _, numbers = np.unique(items.astype(str), return_inverse=True)
    groups = np.where(items == "", len(items) + np.arange(len(items)), numbers)
    low, high = confidence_interval(values, groups)
    return {f"{name}_low": low, f"{name}_high": high}


def by_shared_garment(item_scores: Scores, query: Catalogue, gallery: Catalogue) -> dict[str, float]:
    """Item scores apart for queries whose garment another item in the gallery shares, and for those alone.

    A part without a query that has something to find is left out.
    """
    of_group: dict[str, set[str]] = defaultdict(set)
    for group, item in zip(gallery.column("group"), gallery.column("item"), strict=True):
        of_group[group].add(item)
    asked = zip(query.column("group"), query.column("item"), strict=True)
    shared = np.array([group != "" and bool(of_group[group] - {item}) for group, item in asked])
    parts = {"garment_shared": shared, "garment_alone": ~shared}
    return {
        f"query/item/{name}_{part}": float(np.nanmean(values[which]))
        for part, which in parts.items()
        for name, values in item_scores.items()
        if not np.isnan(values[which]).all()
    }


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the labels, of any type, of their mean value, (Q,) and (Q,): rare ones count as much as frequent ones.

    NaN values are left out first, and labels of which none is left.
    """
    scored = ~np.isnan(values)
    return float(np.mean([values[scored & (labels == label)].mean() for label in np.unique(labels[scored])]))


def classification(encoded: Encoded, labels: np.ndarray, items: np.ndarray) -> dict[str, float]:
    """`query/accuracy` with its interval, `…/top5_accuracy`, `…/macro_accuracy`, `…/macro_f1` of the category head.

    Of the queries whose category it knows; nothing where there is none. labels: (Q,) int64, -1 of the others; items:
    (Q,) str, "" of a query without one.
    """
    known = labels >= 0
    if not known.any():
        return {}
    encoded, labels, items = encoded.taken(known), labels[known], items[known]
    count, predicted = encoded.masses.shape[1], encoded.predicted
    seen, right = predicted >= 0, (predicted == labels).astype(float)
    masses, truth = from_numpy(encoded.masses[seen]), from_numpy(labels[seen])
    top5 = multiclass_accuracy(masses, truth, count, average="micro", top_k=min(5, count)) if seen.any() else 0.0
    named = np.where(seen, predicted, count)  # not seen: a category that nothing is of
    f1 = multiclass_f1_score(from_numpy(named), from_numpy(labels), count + 1, average="none").numpy()
    return ends_of("query/accuracy", right, items) | {
        "query/accuracy": float(right.mean()),
        "query/top5_accuracy": float(top5) * float(seen.mean()),
        "query/macro_accuracy": macro_mean(right, labels),
        "query/macro_f1": float(f1[np.union1d(labels, predicted[seen])].mean()),
    }


def confidence_interval(
    scores: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean score; NaN scores are left out first.  No score at all: (NaN, NaN).

    Args:
        scores: (Q,) float, one a query.
        groups: (Q,) of any type; queries of one group (pictures of one item, say) are drawn together. None: each alone.
            Equal values are one group, "" too: give queries without an item a value of their own.
        level: share of the bootstrap means inside the interval, between 0 and 1.
        samples: bootstrap samples, at least 1.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The lower and the upper end.
    """
    if scores.ndim != 1 or (groups is not None and groups.shape != scores.shape):
        raise ValueError(f"{scores.shape=}: give (Q,) scores, and as many groups or None")
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"{level=}, {samples=}: give a level between 0 and 1, and at least 1 sample")
    kept = ~np.isnan(scores)
    if not kept.any():
        return float("nan"), float("nan")
    members = np.arange(kept.sum()) if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    means = _bootstrap_means(np.bincount(members, weights=scores[kept]), np.bincount(members), samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """(samples,) means when as many groups as there are, (G,) sums and counts, are drawn with replacement."""
    generator = np.random.default_rng(seed)
    means = np.zeros(samples)
    for block in blocks(samples, len(sums)):
        drawn = generator.integers(len(sums), size=(len(means[block]), len(sums)))
        means[block] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means
