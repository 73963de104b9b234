"""Search speed: lists, re-ranking, storage, and from image to hits; one thread, interleaved medians."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from benchmarks.list_search import (
    BITS,
    EMBEDDING_DIM,
    NUM_LISTS,
    NUM_QUERIES,
    NUM_ROWS,
    build_index,
    median_times,
    time_by_size,
    time_searches,
)
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.latency import single_thread
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import rerank
from fashion_lsh.search.searcher import Searcher

GALLERY_SIZES = (10_000, 100_000, 500_000, 1_000_000, 10_000_000)


def retrieval_results() -> dict[str, float]:
    """Run all search benchmarks; return ratios and times by name."""
    with single_thread():
        results = time_searches() | time_reranking() | measure_storage() | time_end_to_end()
        sizes = {size: time_by_size(size) for size in GALLERY_SIZES}
    print(tabulate([(f"{size:,}", *times.values()) for size, times in sizes.items()],
                   ["codes", *next(iter(sizes.values()))], floatfmt=".3f"))  # fmt: skip
    return results | {f"codes_{size}/{name}": value for size, times in sizes.items() for name, value in times.items()}


def time_reranking() -> dict[str, float]:
    """Time re-ranking of 100 random rows of a memory-mapped file by Euclidean distance."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.npy"
        np.save(path, rng.standard_normal((NUM_ROWS, EMBEDDING_DIM), dtype=np.float32).astype(np.float16))
        embeddings = Embeddings([np.load(path, mmap_mode="r")])
        sum(float(block[0, 0]) for block in embeddings.blocks())  # read the whole file into the page cache
        queries = rng.standard_normal((NUM_QUERIES, EMBEDDING_DIM), dtype=np.float32)
        rows = rng.integers(0, NUM_ROWS, (NUM_QUERIES, 100))
        candidates = [Hits(rows[[query]], np.zeros((1, 100), dtype=np.float32)) for query in range(NUM_QUERIES)]
        return {
            "rerank_100_ms": median_times(
                {"": lambda query: rerank(queries[[query]], candidates[query], embeddings, 100)}
            )[""]
        }


def measure_storage() -> dict[str, float]:
    """Time adding 500,000 codes and opening a gallery of these codes; measure bytes per image."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    index, codes, lists = build_index(NUM_ROWS)
    elapsed = time.perf_counter() - start
    stats = index.stats()
    probabilities = np.zeros((NUM_ROWS, NUM_LISTS), dtype=np.float32)
    probabilities[np.arange(NUM_ROWS), lists] = 1
    names = np.char.add("garment ", np.arange(NUM_ROWS).astype(str))
    catalogue = Catalogue.from_columns({"id": names, "image": names, "category": lists.astype(str)})
    model = build_random_model("resnet18")
    vectors = rng.standard_normal((NUM_ROWS, EMBEDDING_DIM), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        Gallery.build(model, Encoded(probabilities, codes, vectors), catalogue).save(Path(folder))
        start = time.perf_counter()
        Gallery.open(Path(folder), model.fingerprint())
        open_time = time.perf_counter() - start
        start = time.perf_counter()
        path = next(Path(folder).glob("index-*"))
        HashIndex.open(path)
        index_open_time, size = time.perf_counter() - start, path.stat().st_size
    memory_bytes = stats.vector_bytes + stats.row_bytes
    return {"add_500k_s": elapsed, "open_500k_s": open_time, "open_index_500k_s": index_open_time,
            "bytes_per_image": max(size, memory_bytes) / NUM_ROWS}  # fmt: skip


def time_end_to_end() -> dict[str, float]:
    """Time from a 224 x 224 image to hits in 500,000 rows, relative to the bare ResNet101 forward pass."""
    model, rng = build_random_model("resnet101"), np.random.default_rng(0)
    index, _, lists = build_index(NUM_ROWS)
    names = np.arange(NUM_ROWS).astype(str)
    embeddings = Embeddings.from_array(rng.standard_normal((NUM_ROWS, EMBEDDING_DIM), dtype=np.float32))
    catalogue = Catalogue.from_columns({"id": names, "image": names, "category": lists.astype(str)})
    gallery = Gallery(index, embeddings, catalogue, model.fingerprint())
    searcher = Searcher(
        model, gallery, SearchPolicy("rerank", 1, 200, alpha=0.5, min_confidence=0.0, min_probability=None)
    )
    images = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    @torch.inference_mode()
    def forward(query: int) -> object:
        return model.backbone.network(batch[[query % 8]].float() / 255)

    medians = median_times(
        {"query": lambda query: searcher.search(images[query % 8], None, 12), "forward": forward}, queries=40
    )
    return {f"resnet101_224_{name}_ms": value for name, value in medians.items()} | {
        "query_over_forward": medians["query"] / medians["forward"]
    }


def build_random_model(backbone: str) -> CropModel:
    """Build a HashHeadModel with random weights, which is as fast as with trained weights."""
    torch.manual_seed(0)
    categories = [f"category {number:02}" for number in range(NUM_LISTS)]
    return HashHeadModel(
        backbone, categories, BITS, label_smoothing=0.0, embedding_dim=EMBEDDING_DIM, image_size=224
    ).eval()
