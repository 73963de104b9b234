"""Settings, rows and licences as sentences and tables."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from fashion_lsh.data.datasets import get_licence

METHODS = {  # of every score table
    "code": "Hamming distance between the codes, over the whole gallery; ties count by their exact expectation.",
    "float": "Exact Euclid between the same model's embeddings, over the whole gallery.",
    "lsh": "Hamming distance between as many bits of random hyperplanes through the mean embedding; ties as in code.",
    "itq": "Hamming distance between as many bits of iterative quantisation of the embeddings; ties as in code.",
    "predicted_category": "No code: garments that are seen as the same category come first, in any order.",
    "colour_histogram": "No network: 4 × 4 × 4 colours of the crop are compared.",
    "raw_pixels": "No network: the crops are shrunk to 8 × 8 and compared.",
    "random": "The gallery in any order.",
}
IMAGE_LICENCES = {
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
BOX_SELECTION = {
    "given": "the one that overlaps the annotated box most, by half at least",
    "best": "the one of the best score",
    "largest": "the largest",
    "all": "the one that overlaps the annotated box most, by half at least; of pictures that are added, each",
}
LEAK_NOTE = "as published: what stands on two sides of it is told in train.log, and makes scores too good"
SEARCH_LABEL = re.compile(
    r"(hamming|euclidean|rerank|tie_break|weighted)([\d.]*)_(\d+|all)(?:_probability([\d.]+))?(?:_confidence([\d.]+))?"
)


def one_line(text: str) -> str:
    """Text as somebody typed it -> the same on one line, without control characters; `?` where nothing is left."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()) or "?"


def describe_search(label: str) -> str:
    """Describe a search policy by its label (see SearchPolicy): distance and lists; an unknown label is returned."""
    match = SEARCH_LABEL.fullmatch(label)
    if not match:
        return label
    distance, parameter, nprobe, min_probability, min_confidence = match.groups()
    candidates = (
        f"the best {float(parameter):.2g} of the rows reached"
        if 0 < float(parameter or 1) < 1
        else f"the best {parameter}"
    )
    descriptions = {
        "hamming": "Hamming distance between codes",
        "euclidean": "exact Euclid between embeddings",
        "rerank": f"{candidates} by Hamming distance, then ordered by Euclid between embeddings",
        "tie_break": "Hamming distance between codes, equal ones ordered by Euclid between embeddings",
        "weighted": f"{parameter} of the relative Hamming distance and the rest of Euclid between embeddings",
    }
    threshold = f"{float(min_confidence or 0) * 100:g} % of the mass"
    fallback = f", but in the whole gallery where the likeliest has less than {threshold}" if min_confidence else ""
    return f"{descriptions[distance]}; {_describe_lists(nprobe, min_probability)}{fallback}"


def hash_method(hash_config: Mapping[str, Any] | None) -> str:
    """What makes the codes: the loss of the hash layer, or the name of the class that needs none."""
    if hash_config is None:
        return "none"
    class_name = re.sub("(?<=[a-z])(?=[A-Z])", "_", hash_config.get("_target_", "").rpartition(".")[2]).lower()
    loss = str(hash_config.get("loss") or ("softmax" if class_name in ("", "hash_head") else class_name))
    bihalf_name = {"softmax": "bihalf"}.get(loss, f"{loss}, bihalf")
    return bihalf_name if hash_config.get("bihalf") else loss


def describe_code(hash_config: Mapping[str, Any] | None) -> str:
    """What makes the codes, and whether items are learnt: `softmax, items`."""
    items = ", items" if hash_config and hash_config.get("item_weight") else ""
    return f"{hash_method(hash_config)}{items}"


def describe_hash_layer(hash_config: Mapping[str, Any] | None) -> str:
    """How long the codes are, and what makes them."""
    if hash_config is None:
        return "no hash layer"
    length = f"{hash_config['bits']} bits" if "bits" in hash_config else "a bit a category"
    items = f", items with weight {hash_config['item_weight']:g}" if hash_config.get("item_weight") else ""
    return f"{length} ({hash_method(hash_config)}{items})"


def describe_method(method: str, run_label: str) -> str:
    """What a row of the score table is; `own` names the run's own search."""
    if method == run_label:
        return f"The run's own search: {describe_search(run_label)}."
    return METHODS.get(method) or f"Asked for later with evaluate.py: {describe_search(method)}."


def describe_weights(backbone: Mapping[str, Any]) -> str:
    """Where the backbone's weights come from, and under which terms."""
    weights = backbone["weights"]
    if weights is None:
        return "The backbone starts from scratch: nobody else's weights are in it."
    if weights != "imagenet":
        return "The backbone starts from a file of weights: you know where it comes from, and its licence."
    return f"The backbone starts from {LITE0 if backbone['name'] == 'efficientnet_lite0' else TORCHVISION}"


def describe_image_licence(source: str) -> str:
    """Whose pictures a data set holds, and under which licence."""
    if terms := get_licence(source):
        return f"{source}: {terms}."
    user_images = (
        f"Your own pictures ({source}): you know their licence, and whether it lets you pass on this page's sheets."
    )
    return IMAGE_LICENCES.get(source, user_images)


def describe_crop(data: Mapping[str, Any]) -> str:
    """What is cut out of a picture."""
    if data["crop"] == "whole":
        return "none: the whole picture"
    if data["crop"] == "detected":
        box_selector = data["box_selector"]
        fallback_text = {"whole": "the whole picture", "skip": "left out, and a query finds nothing"}[
            box_selector["fallback"]
        ]
        return (
            f"by a box that the detector found with a score of at least {box_selector['min_score']:g} "
            f"({BOX_SELECTION[box_selector['select']]}), widened by {data['margin'] * 100:g} % of it on each side; "
            f"where there is none: {fallback_text}"
        )
    return f"by the annotated box, widened by {data['margin'] * 100:g} % of it on each side"


def describe_split(data: Mapping[str, Any]) -> str:
    """Which pictures are searched, and what they share with those that train."""
    leak_note = LEAK_NOTE if data.get("leaks") == "report" else ""
    if data["gallery"] == "train":
        text = "the training pictures are searched: scores are higher than with a gallery that training has not seen"
        return f"{text}; {leak_note}" if leak_note else text
    if data.get("unseen"):
        separation = leak_note or "no item and no group of copies does both, either"
        return f"by category: none that trains asks or is searched; {separation}"
    return leak_note or "disjoint: no item and no group of copies is in two of train, val and the test side"


def _describe_lists(nprobe: str, min_probability: str | None) -> str:
    if nprobe == "all":
        return "in the whole gallery"
    if min_probability:
        least = f", in {nprobe} at least" if nprobe != "1" else ""
        total = f"{float(min_probability) * 100:g} %"
        return f"in the most probable categories whose probabilities sum to {total}{least}"
    return "in the predicted category only" if nprobe == "1" else f"in the {nprobe} likeliest categories"


def join_names(names: Sequence[str], separator: str = ", ", max_names: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f"{separator}and {len(names) - max_names:,} more" if len(names) > max_names else ""
    return separator.join(names[:max_names]) + more


def markdown_table(rows: Sequence[Sequence[object]], titles: Sequence[str]) -> str:
    """A table; numbers stand as they are given."""
    return tabulate(rows, titles, "pipe", disable_numparse=True)
