"""Sample of a data set on which codes and searches are compared: training images, and queries and gallery of val."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.metrics.retrieval import Relevance

RelevanceName = Literal["item", "category"]
VAL_RATIO = 0.2  # maximum ratio of val in the sample
MAX_QUERIES = 500
MIN_QUERIES = 20


@dataclass(frozen=True)
class Sample:
    """Sampled data, with queries and gallery.

    Attributes:
        data: data in which only the sampled rows of train and val have a split.
        query: (Q,) int64 catalogue rows of the queries, from val.
        gallery: (N,) int64 catalogue rows of the gallery, from val and train.
        relevance: relevance of the gallery rows to the queries.
        name: `item` or `category`.
    """

    data: GarmentData
    query: np.ndarray
    gallery: np.ndarray
    relevance: Relevance
    name: RelevanceName


def draw_sample(data: GarmentData, count: int, relevance: RelevanceName | None = None) -> Sample:
    """Draw a sample of whole items from train and val, and divide val into queries and gallery.

    No image of the splits query, gallery (unless it is train) and calibration is in the sample.

    Args:
        data: data with splits.
        count: maximum number of images, of which at most VAL_RATIO are images of val.
        relevance: relevance of the comparison; None: `item` if at least MIN_QUERIES queries have a relevant garment,
            otherwise `category`.

    Raises:
        ValueError: there is no val, or fewer than MIN_QUERIES queries have a relevant garment.
    """
    if not len(data.rows("val")):
        raise ValueError("val has no images, and codes and searches are compared on val; set split.ratios.val above 0")
    val = _whole_items(data, data.rows("val"), max(1, int(VAL_RATIO * count)))
    train = _whole_items(data, data.rows("train"), max(1, count - len(val)))
    labels_by_name = {"item": data.items, "category": data.labels}  # computed before the splits change
    splits = np.full(len(data.catalogue), "", dtype=object)
    splits[train], splits[val] = "train", "val"
    sampled = data.replace(catalogue=data.catalogue.with_columns(split=splits.tolist()), calibration=0.0)
    if data.samples_per_epoch:  # as many epochs over the sample as over the data
        sampled.samples_per_epoch = max(1, data.samples_per_epoch * len(train) // len(data.rows("train")))
    sampled.__dict__.pop("_val_parts", None)  # computed from the splits before
    found: dict[str, int] = {}
    names: tuple[RelevanceName, ...] = ("item", "category") if relevance is None else (relevance,)
    for name in names:
        query, gallery = divide_val(data.catalogue, val, train, name)
        labels = labels_by_name[name]
        query = query[np.isin(labels[query], labels[gallery])]
        found[name] = len(query)
        if len(query) >= MIN_QUERIES:
            query = query[evenly_spaced(len(query), MAX_QUERIES)]
            return Sample(sampled, query, gallery, Relevance(labels[query], labels[gallery]), name)
    counts = " and ".join(f"{number} by {name}" for name, number in found.items())
    raise ValueError(
        f"{counts}: so few of the {len(val)} sampled images of val have a relevant garment, but {MIN_QUERIES} are "
        "needed; use more images, a larger split.ratios.val"
        + (", or --relevance category" if relevance == "item" else "")
    )


def divide_val(
    catalogue: Catalogue, val: np.ndarray, train: np.ndarray, relevance: RelevanceName
) -> tuple[np.ndarray, np.ndarray]:
    """Divide images of val into queries and gallery; images of train are further rows of the gallery.

    If val has both views, street images are the queries and shop images the gallery. Otherwise, by item, the queries
    are the first image of each item, and other garments of the same image file are left out; by category, all images of
    val are queries, and those of train the gallery.

    Args:
        catalogue: rows of the data.
        val, train: (n,) int64 rows.
        relevance: `item` or `category`.

    Returns:
        Rows of queries and gallery, two (n,) int64.
    """
    views, both = catalogue.column("view"), np.concatenate([val, train])
    if {"street", "shop"} <= set(views[val]):
        return val[views[val] == "street"], both[views[both] == "shop"]
    if relevance == "category":
        return val, train
    query = val[np.sort(np.unique(factorize(catalogue.column("item"))[val], return_index=True)[1])]
    others, images = np.setdiff1d(both, query), factorize(catalogue.column("image"))
    return query, others[~np.isin(images[others], images[query])]


def _whole_items(data: GarmentData, rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, (n,) int64 ascending, in evenly spaced whole items, but at least one item."""
    _, first, items = np.unique(data.items[rows], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))  # items in the order of their first row
    sizes = np.bincount(order[items])
    chosen = evenly_spaced(len(sizes), max(1, int(len(sizes) * min(1.0, count / len(rows)))))
    chosen = chosen[: max(1, int((np.cumsum(sizes[chosen]) <= count).sum()))]
    return rows[np.isin(order[items], chosen)]
