"""mAP of losses with hash centres on frozen features: python -m benchmarks.hash_centres FOLDER_OR_MANIFEST.

The data need splits of their own: the images of query are searched among those of train. `drawn rows` are rows of a
Hadamard matrix of the next power of two, with drawn columns and signs; `random bits` are drawn independently.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn

from fashion_lsh.data.crops import crop_image, to_batch
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.index.codes import pack
from fashion_lsh.metrics.ranking import ALL
from fashion_lsh.metrics.retrieval import Relevance, score_codes
from fashion_lsh.models.backbones import create_backbone, load_weights
from fashion_lsh.models.losses import LOSSES
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.centres import hash_centres
from fashion_lsh.models.losses.hadamard import hadamard_matrix

BATCH_SIZE, LEARNING_RATE, SMOOTHING = 64, 0.001, 0.1


def main() -> None:
    """Print mean and standard deviation of mAP@all over the seeds, by loss and by source of the centres."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hash_centres", description=__doc__)
    parser.add_argument("root", help="folder of images, or manifest, with the splits train and query")
    for name, default in (
        ("bits", 48),
        ("categories", 15),
        ("image-size", 224),
        ("epochs", 20),
        ("seeds", 5),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    features, labels = load_features(args.root, args.categories, args.image_size)
    rows = []
    for loss_name in ("csq", "orthohash"):
        for source, create in CENTRES.items():
            scores = [
                score(fit(loss_name, create(args.categories, args.bits, seed), features["train"], labels["train"],
                          args.epochs, seed), features, labels)
                for seed in range(args.seeds)
            ]  # fmt: skip
            rows.append((loss_name, source, np.mean(scores), np.std(scores, ddof=1)))
    print(tabulate(rows, ["loss", "centres", "mAP@all", "standard deviation"], "pipe", floatfmt=".3f"))
    print(f"\n{len(labels['query'])} queries, {len(labels['train'])} gallery images, {args.categories} categories, "
          f"{args.bits} bits, {args.epochs} epochs, {args.seeds} seeds")  # fmt: skip


def load_features(root: str, num_categories: int, image_size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features (N, 1280) of frozen EfficientNet-Lite0 and labels (N,) of train and query, in the largest categories."""
    source = open_dataset("folder", root)
    catalogue = source.catalogue()
    names, counts = np.unique(catalogue.column("category").astype(str), return_counts=True)
    labels = catalogue.labels(sorted(names[np.argsort(-counts, kind="stable")[:num_categories]]))
    backbone = create_backbone("efficientnet_lite0")
    load_weights(backbone, "imagenet")
    backbone.eval()
    features, split_labels = {}, {}
    for split in ("train", "query"):
        rows = np.flatnonzero((catalogue.column("split") == split) & (labels >= 0))
        batches = []
        for start in range(0, len(rows), BATCH_SIZE):
            keys = catalogue.column("image")[rows[start : start + BATCH_SIZE]]
            crops = to_batch([crop_image(source.image(key), None, 0, image_size) for key in keys])
            with torch.inference_mode():
                batches.append(backbone(torch.from_numpy(crops)))
        features[split], split_labels[split] = torch.cat(batches).clone(), torch.from_numpy(labels[rows])
    return features, split_labels


def drawn_rows(count: int, bits: int, seed: int) -> Tensor:
    """Rows of a Hadamard matrix of the next power of two with drawn columns and signs, (count, bits)."""
    matrix = hadamard_matrix(1 << (bits - 1).bit_length())
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(len(matrix), generator=generator) for _ in range(2))
    return matrix[rows[:count]][:, columns[:bits]] * (2 * torch.randint(2, (bits,), generator=generator) - 1)


def random_bits(count: int, bits: int, seed: int) -> Tensor:
    """Independent random bits, (count, bits)."""
    return 2 * torch.randint(2, (count, bits), generator=torch.Generator().manual_seed(seed)).float() - 1


CENTRES: dict[str, Callable[[int, int, int], Tensor]] = {
    "hash_centres": hash_centres, "drawn rows": drawn_rows, "random bits": random_bits,
}  # fmt: skip


def fit(
    name: str, centres: Tensor, features: Tensor, labels: Tensor, epochs: int, seed: int
) -> Callable[[Tensor], Tensor]:
    """Train a linear hash layer; return the function from features (N, D) to activations (N, bits)."""
    torch.manual_seed(seed)
    num_categories, bits = centres.shape
    loss: HashLoss = LOSSES[name](bits, num_categories, SMOOTHING)
    loss.get_buffer("centres").copy_(centres)
    layer, head = nn.Linear(features.shape[1], bits), nn.Linear(bits, num_categories)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters(), *loss.parameters()], LEARNING_RATE)
    num_steps = len(features) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * num_steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(features))[: num_steps * BATCH_SIZE].view(num_steps, BATCH_SIZE):
            activations = loss.activate(layer(features[rows]))
            optimizer.zero_grad()
            loss(activations, head(loss.head_input(activations)), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    loss.eval()
    return lambda values: loss.activate(layer(values)).detach()


def score(activate: Callable[[Tensor], Tensor], features: dict[str, Tensor], labels: dict[str, Tensor]) -> float:
    """mAP@all of query against train by Hamming distance: the mean over the orders of tied rows."""
    codes = {split: pack(activate(values).numpy(), 0.0) for split, values in features.items()}
    relevance = Relevance(labels["query"].numpy(), labels["train"].numpy())
    return float(score_codes(codes["query"], codes["train"], relevance, None, (ALL,))["map", ALL].mean())


if __name__ == "__main__":
    main()
