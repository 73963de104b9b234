"""Train a 48-bit hash head on random vectors: seconds for 500,000 x 512 floats and 5 epochs.

    python -m benchmarks.head_training [--rows 500000] [--epochs 5] [--batch-size 64]

The target is at most 240 s on two cores. Generating the vectors and reading the table are not included.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.training.fitting import fit
from fashion_lsh.training.hash_head import HashHead

WIDTH, CATEGORIES = 512, 30


def write_vectors(folder: Path, rows: int) -> Path:
    """Write clusters of random vectors, (rows, WIDTH) float16, with their table; return the .npy file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CATEGORIES, rows)
    centres = rng.normal(size=(CATEGORIES, WIDTH)).astype(np.float32)
    path = folder / "vectors.npy"
    matrix = np.lib.format.open_memmap(path, "w+", np.float16, (rows, WIDTH))
    for start in range(0, rows, 10_000):
        part = labels[start : start + 10_000]
        matrix[start : start + 10_000] = centres[part] + 2 * rng.standard_normal((len(part), WIDTH), np.float32)
    matrix.flush()
    table = {"id": [str(row) for row in range(rows)], "category": [f"category {label}" for label in labels]}
    pq.write_table(pa.table(table), path.with_suffix(".parquet"))
    return path


def measure(rows: int, epochs: int, batch_size: int) -> dict[str, float]:
    """Seconds of training and calibration, and the accuracy on val."""
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        data = GarmentData("embeddings", root=str(write_vectors(Path(folder), rows)), batch_size=batch_size,
                           ratios={"train": 0.9, "val": 0.05, "query": 0.02, "gallery": 0.03})  # fmt: skip
        head = HashHead(data.source.backbone, data.categories, frozen=True, epochs=epochs, lr_factor=1.0)  # type: ignore[attr-defined]
        start = time.perf_counter()
        model = fit(head, data, Path(folder) / "run", accelerator="cpu", enable_progress_bar=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "val accuracy": model.fit_metrics["hash_head"]["val/accuracy"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 500_000), ("epochs", 5), ("batch-size", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    for name, value in measure(args.rows, args.epochs, args.batch_size).items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
