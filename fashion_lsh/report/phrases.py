"""Settings, rows and licences as sentences and tables."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fashion_lsh.data.datasets import get_licence

ROWS = {  # of every score table
    "code": "Hamming distance between the codes, over the whole gallery; ties count by their exact expectation.",
    "float": "Exact Euclid between the same model's embeddings, over the whole gallery.",
    "lsh": "Hamming distance between as many bits of random hyperplanes through the mean embedding; ties as in code.",
    "itq": "Hamming distance between as many bits of iterative quantisation of the embeddings; ties as in code.",
    "predicted_category": "No code: garments that are seen as the same category come first, in any order.",
    "colour_histogram": "No network: 4 × 4 × 4 colours of the crop are compared.",
    "raw_pixels": "No network: the crops are shrunk to 8 × 8 and compared.",
    "random": "The gallery in any order.",
}
PICTURES = {
    "shop_street": "shop_street, which ships with the package: pictures composed from 7,000 garments of Fashion-MNIST "
    "(MIT licence, © 2017 Zalando SE).",
    "thesis30": "Merged from several sources: card.md in the merged folder names them, and their licences.",
    **dict.fromkeys(("fashion_mnist", "fashion_mnist_official"), "Fashion-MNIST (MIT licence, © 2017 Zalando SE)."),
}
TORCHVISION = (
    "ImageNet weights of torchvision. Its code is under BSD-3-Clause; the weights were learnt from ImageNet, whose "
    "pictures are given for non-commercial research and education. Whether that binds what was learnt from them is not "
    "settled: ask before a commercial use."
)
LITE0 = "ImageNet weights of EfficientNet-Lite0 (Apache-2.0); they were learnt from ImageNet's pictures."
CHOSEN = {
    "given": "the one that overlaps the annotated box most, by half at least",
    "best": "the one of the best score",
    "largest": "the largest",
    "all": "the one that overlaps the annotated box most, by half at least; of pictures that are added, each",
}
LEAKS = "as published: what stands on two sides of it is told in train.log, and makes scores too good"
LABEL = re.compile(r"(hamming|euclidean|shortlist|tie_break|weighted)([\d.]*)_(\d+|all|0\.\d+)(?:_sure([\d.]+))?")


def one_line(text: str) -> str:
    """Text as somebody typed it -> the same on one line, without control characters; `?` where nothing is left."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()) or "?"


def search_words(label: str) -> str:
    """A search setting by its label (see Search) as a phrase: by what, and where; an unknown label is given back."""
    told = LABEL.fullmatch(label)
    if not told:
        return label
    distance, own, probes, sure = told.groups()
    best = f"the best {float(own):.2g} of the rows reached" if 0 < float(own or 1) < 1 else f"the best {own}"
    how = {
        "hamming": "Hamming distance between codes",
        "euclidean": "exact Euclid between embeddings",
        "rerank": f"{best} by Hamming distance, then ordered by Euclid between embeddings",
        "tie_break": "Hamming distance between codes, equal ones ordered by Euclid between embeddings",
        "weighted": f"{own} of the relative Hamming distance and the rest of Euclid between embeddings",
    }
    least = f"{float(sure or 0) * 100:g} % of the mass"
    unsure = f", but in the whole gallery where the likeliest has less than {least}" if sure else ""
    return f"{how[distance]}; {_where(probes)}{unsure}"


def method_of(layer: Mapping[str, Any] | None) -> str:
    """What makes the codes: the loss of the hash layer, or the name of the class that needs none."""
    if layer is None:
        return "none"
    kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", layer.get("_target_", "").rpartition(".")[2]).lower()
    loss = str(layer.get("loss") or ("softmax" if kind in ("", "hash_head") else kind))
    halves = {"softmax": "bihalf"}.get(loss, f"{loss}, bihalf")
    return halves if layer.get("bihalf") else loss


def code_words(layer: Mapping[str, Any] | None) -> str:
    """What makes the codes, and whether items are learnt: `softmax, items`."""
    items = ", items" if layer and layer.get("item_weight") else ""
    return f"{method_of(layer)}{items}"


def hash_words(layer: Mapping[str, Any] | None) -> str:
    """How long the codes are, and what makes them."""
    if layer is None:
        return "no hash layer"
    length = f"{layer['bits']} bits" if "bits" in layer else "a bit a category"
    items = f", items with weight {layer['item_weight']:g}" if layer.get("item_weight") else ""
    return f"{length} ({method_of(layer)}{items})"


def row_words(row: str, own: str) -> str:
    """What a row of the score table is; `own` names the run's own search."""
    if row == own:
        return f"The run's own search: {search_words(own)}."
    return ROWS.get(row) or f"Asked for later with evaluate.py: {search_words(row)}."


def weights_words(backbone: Mapping[str, Any]) -> str:
    """Where the backbone's weights come from, and under which terms."""
    weights = backbone["weights"]
    if weights is None:
        return "The backbone starts from scratch: nobody else's weights are in it."
    if weights != "imagenet":
        return "The backbone starts from a file of weights: you know where it comes from, and its licence."
    return f"The backbone starts from {LITE0 if backbone['name'] == 'efficientnet_lite0' else TORCHVISION}"


def pictures_words(source: str) -> str:
    """Whose pictures a data set holds, and under which licence."""
    if terms := get_licence(source):
        return f"{source}: {terms}."
    own = f"Your own pictures ({source}): you know their licence, and whether it lets you pass on this page's sheets."
    return PICTURES.get(source, own)


def crop_words(data: Mapping[str, Any]) -> str:
    """What is cut out of a picture."""
    if data["crop"] == "whole":
        return "none: the whole picture"
    if data["crop"] == "detected":
        choice = data["box_selector"]
        instead = {"whole": "the whole picture", "skip": "left out, and a query finds nothing"}[choice["fallback"]]
        return (
            f"by a box that the detector found with a score of at least {choice['score']:g} "
            f"({CHOSEN[choice['which']]}), widened by {data['margin'] * 100:g} % of it on each side; "
            f"where there is none: {instead}"
        )
    return f"by the annotated box, widened by {data['margin'] * 100:g} % of it on each side"


def split_words(data: Mapping[str, Any]) -> str:
    """Which pictures are searched, and what they share with those that train."""
    kept = LEAKS if data.get("leaks") == "report" else ""
    if data["gallery"] == "train":
        text = "the training pictures are searched: scores are higher than with a gallery that training has not seen"
        return f"{text}; {kept}" if kept else text
    if data.get("unseen"):
        apart = kept or "no item and no group of copies does both, either"
        return f"by category: none that trains asks or is searched; {apart}"
    return kept or "disjoint: no item and no group of copies is in two of train, val and the test side"


def _where(probes: str) -> str:
    if probes == "all":
        return "in the whole gallery"
    if "." in probes:
        return f"in the likeliest categories that together hold {float(probes) * 100:g} % of the softmax mass"
    return "in the predicted category only" if probes == "1" else f"in the {probes} likeliest categories"


def listed(names: Sequence[str], between: str = ", ", most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f"{between}and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def as_markdown(lines: Sequence[Sequence[object]], titles: Sequence[str]) -> str:
    """A table; numbers stand as they are given."""
    return tabulate(lines, titles, "pipe", disable_numparse=True)
