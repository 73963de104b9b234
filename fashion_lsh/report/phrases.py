"""Describe settings, methods and licences in words; format tables and percentages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fashion_lsh.data.datasets import get_licence
from fashion_lsh.search.policy import SearchPolicy

METHODS = {  # baselines of every score table
    "code": "Hamming distance between codes; ties are scored by their exact expectation.",
    "float": "Exact Euclidean distance between the same model's embeddings.",
    "lsh": "As method code, with as many bits from random hyperplanes through the mean embedding (LSH).",
    "pca": "As method code, with as many bits from principal axes of the embeddings in a random rotation.",
    "itq": "As method code, with as many bits from iterative quantisation of the embeddings (ITQ).",
    "rabitq": "RaBitQ, float queries: one bit for each of as many principal axes of the embeddings, and 8 bytes more.",
    "int8": "Euclidean distance between float embeddings and embeddings with one byte per dimension.",
    "predicted_category": "No codes: garments of the same predicted category first, in random order.",
    "colour_histogram": "No network: Hellinger distance between colour histograms of the crops, 4 × 4 × 4 bins.",
    "raw_pixels": "No network: Euclidean distance between the crops, averaged to 8 × 8 pixels.",
    "random": "Gallery in random order.",
}
IMAGE_LICENCES = {
    "shop_street": "shop_street, included in the package: images composed from 7,000 garments of Fashion-MNIST "
    "(MIT licence, © 2017 Zalando SE).",
    "thesis30": "Merged from several sources; card.md in the merged folder lists them with their licences.",
    **dict.fromkeys(("fashion_mnist", "fashion_mnist_official"), "Fashion-MNIST (MIT licence, © 2017 Zalando SE)."),
}
TORCHVISION = (
    "ImageNet weights of torchvision. The code is licensed under BSD-3-Clause; the weights were trained on ImageNet, "
    "whose images are provided for non-commercial research and education. Whether these terms apply to trained weights "
    "is not settled: seek permission before commercial use."
)
LITE = "ImageNet weights of EfficientNet-Lite (Apache-2.0), trained on the images of ImageNet."
BOX_SELECTION = {
    "given": "highest IoU with the annotated box, at least 0.5",
    "best": "highest score",
    "largest": "largest area",
    "all": "highest IoU with the annotated box, at least 0.5; in images added to the gallery, every detection",
}
LEAK_NOTE = "as published, with leaks between train, val and test that inflate the scores; train.log lists them"


def one_line(text: str) -> str:
    """Join text to one line and remove control characters; "?" if the result is empty."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split()) or "?"


def percent(ratio: float, decimals: int = 1) -> str:
    """Format a ratio as a percentage: 0.1716 -> `17.2 %`; negative values that round to 0 have no sign."""
    return f"{100 * ratio:z.{decimals}f} %"


def describe_search(policy: SearchPolicy) -> str:
    """Describe distance and probed lists of a search policy."""
    candidates = (
        f"the best {policy.rerank_k * 100:g} % of the probed rows"
        if 0 < policy.rerank_k < 1
        else f"the best {policy.rerank_k}"
    )
    asymmetric = "asymmetric distance between activations of the query and codes"
    order = "Euclidean distance between embeddings" if policy.rerank_by == "euclidean" else asymmetric
    order = type(policy.own_reranker).__name__ if policy.own_reranker else order
    descriptions = {
        "hamming": "Hamming distance between codes",
        "euclidean": "exact Euclidean distance between embeddings",
        "rerank": f"{candidates} by Hamming distance, re-ranked by {order}",
        "tie_break": "Hamming distance between codes, ties ordered by Euclidean distance between embeddings",
        "weighted": f"weighted sum of relative Hamming (weight {policy.alpha:g}) and Euclidean distance between "
        "embeddings",
        "asymmetric": asymmetric,
    }
    threshold = f"{policy.min_confidence * 100:g} %"
    fallback = (
        f"; in the whole gallery if the highest probability is below {threshold}" if policy.min_confidence else ""
    )
    prefix = f", by the first {policy.bits} bits" if policy.bits else ""
    return f"{descriptions[policy.distance]}{prefix}; {_describe_lists(policy)}{fallback}"


def backbone_name(backbone: Mapping[str, Any]) -> str:
    """Name of the backbone: a built-in name, or the class of a user's own backbone."""
    name = backbone["name"]
    return str(name["_target_"]) if isinstance(name, Mapping) else str(name)


def hash_method(hash_config: Mapping[str, Any] | None) -> str:
    """Name the hash method: the loss of the hash layer or, without a loss, the name of its class."""
    if hash_config is None:
        return "none"
    class_name = re.sub("(?<=[a-z])(?=[A-Z])", "_", hash_config.get("_target_", "").rpartition(".")[2]).lower()
    loss = str(hash_config.get("loss") or ("softmax" if class_name in ("", "hash_head") else class_name))
    bihalf_name = {"softmax": "bihalf"}.get(loss, f"{loss}, bihalf")
    return bihalf_name if hash_config.get("bihalf") else loss


def describe_code(hash_config: Mapping[str, Any] | None) -> str:
    """Name the hash method and the loss between items, if any (`softmax, items` or `softmax, ArcFaceLoss`)."""
    loss = _item_loss(hash_config)
    return f"{hash_method(hash_config)}, {loss}" if loss else hash_method(hash_config)


def _item_loss(hash_config: Mapping[str, Any] | None) -> str:
    """Name of the loss between items; `items` is the contrastive loss; an empty string without such a loss.

    The contrastive loss of `item_contrast`, which has no `item_weight`, is not named.
    """
    if not hash_config or not hash_config.get("item_weight", hash_config.get("item_loss")):
        return ""
    return str((hash_config.get("item_loss") or {}).get("name", "items"))


def describe_hash_layer(hash_config: Mapping[str, Any] | None) -> str:
    """Describe the hash layer: code length, method and item weight."""
    if hash_config is None:
        return "no hash layer"
    length = f"{hash_config['bits']} bits" if "bits" in hash_config else "1 bit per category"
    loss = _item_loss(hash_config)
    weight = f" with weight {hash_config['item_weight']:g}" if "item_weight" in hash_config else ""
    items = f", {loss}{weight}" if loss else ""
    return f"{length} ({hash_method(hash_config)}{items})"


def describe_weights(backbone: Mapping[str, Any]) -> str:
    """Describe the initial weights of the backbone and their licence."""
    # imported here, since they import torch
    from fashion_lsh.models.backbones.create import timm_licence
    from fashion_lsh.models.backbones.packaged import PACKAGED
    from fashion_lsh.models.backbones.weights import LIBRARY_WEIGHTS

    weights, name = backbone["weights"], backbone_name(backbone)
    if weights is None:
        return "The backbone was trained from scratch, without third-party weights."
    if weights not in LIBRARY_WEIGHTS:
        return "The backbone was initialised from a weights file; its licence is not recorded."
    if name in PACKAGED:
        return f"The backbone was initialised from {LITE}"
    library = backbone.get("library")
    if licence := timm_licence(f"{library}/{name}" if library else backbone["name"]):
        return f"The backbone was initialised from weights of timm ({name}); their licence in timm: {licence}."
    return f"The backbone was initialised from {TORCHVISION}"


def describe_image_licence(source: str) -> str:
    """Describe the source of the images of a data set and their licence."""
    if terms := get_licence(source):
        return f"{source}: {terms}."
    user_images = (
        f"Your own images ({source}): check that their licence lets you share the contact sheets of this page."
    )
    return IMAGE_LICENCES.get(source, user_images)


def describe_crop(data: Mapping[str, Any]) -> str:
    """Describe how crops are made."""
    if data["crop"] == "whole":
        return "none: the whole image"
    if data["crop"] == "detected":
        box_selector = data["box_selector"]
        fallback = {"whole": "the whole image", "skip": "skipped, and a query has no hits"}[box_selector["fallback"]]
        return (
            f"detection with a score of at least {box_selector['min_score']:g} "
            f"(selected: {BOX_SELECTION[box_selector['select']]}), widened by {data['margin'] * 100:g} % on each side; "
            f"without a detection: {fallback}"
        )
    return f"annotated box, widened by {data['margin'] * 100:g} % on each side"


def describe_split(data: Mapping[str, Any]) -> str:
    """Describe the gallery and its separation from the training split."""
    leak_note = LEAK_NOTE if data.get("leaks") == "report" else ""
    if data["gallery"] == "train":
        text = "the training images are the gallery: scores are higher than with a gallery unseen in training"
        return f"{text}; {leak_note}" if leak_note else text
    if data.get("unseen"):
        separation = leak_note or "disjoint in items and groups of copies, too"
        return f"by category: training categories are in neither query nor gallery; {separation}"
    return leak_note or "disjoint: no item and no group of copies is in two of train, val and test (query and gallery)"


def _describe_lists(policy: SearchPolicy) -> str:
    excluded = f" (without {join_names(policy.exclude)})" if policy.exclude else ""
    if policy.nprobe == "all":
        return f"in the whole gallery{excluded}"
    unit, units = (
        ("group of categories", "groups of categories") if policy.by == "group" else ("category", "categories")
    )
    if policy.min_probability is not None:
        minimum = f", at least {policy.nprobe}" if policy.nprobe > 1 else ""
        total = f"{policy.min_probability * 100:g} %"
        return f"in the most probable {units}{excluded} up to a cumulative probability of {total}{minimum}"
    if policy.coverage is not None:
        return f"in the most probable {units}{excluded}, for a calibrated coverage of {policy.coverage * 100:g} %"
    if policy.nprobe == 1:
        return f"in the predicted {unit} only{excluded}"
    return f"in the {policy.nprobe} most probable {units}{excluded}"


def join_names(names: Sequence[str], separator: str = ", ", max_names: int = 8) -> str:
    """Join the first `max_names` names, and add the number of the other names."""
    more = f"{separator}and {len(names) - max_names:,} more" if len(names) > max_names else ""
    return separator.join(names[:max_names]) + more


def markdown_table(rows: Sequence[Sequence[object]], titles: Sequence[str]) -> str:
    """Format a Markdown table; numbers are not reformatted, and `|` in a cell does not end the cell."""
    lines = [[str(cell).replace("|", r"\|") for cell in row] for row in (titles, *rows)]
    return tabulate(lines[1:], lines[0], "pipe", disable_numparse=True)
