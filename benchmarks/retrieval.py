"""Search speed relative to FAISS and numpy: random codes in 30 lists, one thread, ratios of interleaved medians."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import torch
from faiss.contrib import ivf_tools
from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.latency import single_thread, time_interleaved
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.distances import hamming
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import rerank
from fashion_lsh.search.searcher import Searcher

BITS, NUM_LISTS, NUM_ROWS, K, EMBEDDING_DIM = 64, 30, 500_000, 100, 256
GALLERY_SIZES = (10_000, 100_000, 500_000, 1_000_000, 10_000_000)
NUM_QUERIES, BATCH_SIZE = 200, 64
ALL_LISTS = np.arange(NUM_LISTS)

SearchCall = Callable[[np.ndarray, np.ndarray, int], object]


def retrieval_results() -> dict[str, float]:
    """Run all search benchmarks; return ratios and times by name."""
    with single_thread():
        results = time_searches() | time_reranking() | measure_storage() | time_end_to_end()
        sizes = {size: time_by_size(size) for size in GALLERY_SIZES}
    print(tabulate([(f"{size:,}", *times.values()) for size, times in sizes.items()],
                   ["codes", *next(iter(sizes.values()))], floatfmt=".3f"))  # fmt: skip
    return results | {f"codes_{size}/{name}": value for size, times in sizes.items() for name, value in times.items()}


def build_index(num_rows: int) -> tuple[HashIndex, np.ndarray, np.ndarray]:
    """Return an index of random codes, the codes, (num_rows, BITS / 8) uint8, and the list ids, (num_rows,) int64."""
    rng = np.random.default_rng(0)
    codes, lists = rng.integers(0, 256, (num_rows, BITS // 8), dtype=np.uint8), rng.integers(0, NUM_LISTS, num_rows)
    index = HashIndex(BITS, NUM_LISTS)
    index.add(codes, lists, np.arange(num_rows))
    return index, codes, lists


def make_queries() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return query codes and the lists to probe, (NUM_QUERIES, NUM_LISTS): one list (-1 padded), and all lists."""
    rng = np.random.default_rng(1)
    one_list = np.full((NUM_QUERIES, NUM_LISTS), -1)
    one_list[:, 0] = rng.integers(0, NUM_LISTS, NUM_QUERIES)
    return (
        rng.integers(0, 256, (NUM_QUERIES, BITS // 8), dtype=np.uint8),
        one_list,
        np.tile(ALL_LISTS, (NUM_QUERIES, 1)),
    )


def time_searches() -> dict[str, float]:
    """Compare probing one and all lists with FAISS IVF, FAISS flat and numpy."""
    index, codes, lists = build_index(NUM_ROWS)
    queries, one_list, all_lists = make_queries()
    check_hits(index, codes, lists, queries, one_list)
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(codes)
    floats = faiss.IndexFlatL2(EMBEDDING_DIM)
    floats.add(np.random.default_rng(2).random((NUM_ROWS // 5, EMBEDDING_DIM), dtype=np.float32))
    faiss_index = index._index

    timed_call = partial(search_call, queries)

    def faiss_call(codes: np.ndarray, lists: np.ndarray, k: int) -> object:
        return ivf_tools.search_preassigned(faiss_index, codes, k, lists)  # type: ignore[no-untyped-call]

    def flat_call(codes: np.ndarray, _: np.ndarray, k: int) -> object:
        return flat.search(codes, k)

    all_lists_medians = median_times(
        {"all_lists": timed_call(index.search, all_lists), "flat": timed_call(flat_call, one_list)}
    )
    one_list_medians = median_times(
        {"one_list": timed_call(index.search, one_list), "one_list_faiss": timed_call(faiss_call, one_list)}
    )
    batches = median_times(
        {"ours": timed_call(index.search, one_list, BATCH_SIZE), "faiss": timed_call(faiss_call, one_list, BATCH_SIZE)}
    )
    other_medians = median_times({
        "one_list_exact": timed_call(index.search, one_list),
        "numpy": lambda start: np.argpartition(hamming(queries[[start]], codes)[0], K),
        "flat_l2_100k": lambda _: floats.search(np.full((1, EMBEDDING_DIM), 0.5, dtype=np.float32), K),
    })  # fmt: skip
    return {
        **{f"{name}_ms": value for name, value in (all_lists_medians | one_list_medians | other_medians).items()},
        **speedups_over_flat(index, flat_call, queries, one_list),
        "call_over_faiss": batches["ours"] / batches["faiss"],
        "single_call_extra_us": 1000 * (one_list_medians["one_list"] - one_list_medians["one_list_faiss"]),
        "all_lists_over_flat": all_lists_medians["all_lists"] / all_lists_medians["flat"],
    }


def search_call(
    queries: np.ndarray, search: SearchCall, lists: np.ndarray, count: int = 1, k: int = K
) -> Callable[[int], object]:
    """Return a function that searches with `count` queries from a start."""

    def call(start: int) -> object:
        rows = np.arange(start, start + count) % NUM_QUERIES
        return search(queries[rows], lists[rows], k)

    return call


def speedups_over_flat(
    index: HashIndex, flat_call: SearchCall, queries: np.ndarray, one_list: np.ndarray
) -> dict[str, float]:
    """Time of a flat search / time of a search of one list, by search method, number of queries and k."""

    def speedup(search: SearchCall, count: int, k: int) -> float:
        calls = {"ours": search, "flat": flat_call}
        medians = median_times({name: search_call(queries, each, one_list, count, k) for name, each in calls.items()})
        return medians["flat"] / medians["ours"]

    return {
        f"one_list{exact}_speedup_over_flat{single}{suffix}": speedup(search, count, k)
        for exact, search in (("", index.search), ("_exact", index.search))
        for single, count in (("", BATCH_SIZE), ("_single", 1))
        for suffix, k in (("", 10), ("_k100", 100))
    }


def check_hits(
    index: HashIndex, codes: np.ndarray, lists: np.ndarray, queries: np.ndarray, one_list: np.ndarray
) -> None:
    """Raise AssertionError if exact search in one list and numpy return different hits."""
    for query in range(20):
        list_rows = np.flatnonzero(lists == one_list[query, 0])
        distances = hamming(queries[[query]], codes[list_rows])[0]
        order = np.lexsort((list_rows, distances))[:K]
        hits = index.search(queries[[query]], one_list[[query]], K)
        if not np.array_equal(hits.rows[0], list_rows[order]):
            raise AssertionError(f"query={query}: hits of index and numpy differ")


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


def time_by_size(num_rows: int) -> dict[str, float]:
    """Milliseconds for one list and all lists of an index with `num_rows` codes."""
    index, _, _ = build_index(num_rows)
    queries, one_list, all_lists = make_queries()
    return median_times({
        "one list ms": lambda query: index.search(queries[[query]], one_list[[query]], K),
        "all lists ms": lambda query: index.search(queries[[query]], all_lists[[query]], K),
    }, queries=50)  # fmt: skip


def build_random_model(backbone: str) -> CropModel:
    """Build a HashHeadModel with random weights, which is as fast as with trained weights."""
    torch.manual_seed(0)
    categories = [f"category {number:02}" for number in range(NUM_LISTS)]
    return HashHeadModel(
        backbone, categories, BITS, label_smoothing=0.0, embedding_dim=EMBEDDING_DIM, image_size=224
    ).eval()


def median_times(methods: dict[str, Callable[[int], object]], queries: int = NUM_QUERIES) -> dict[str, float]:
    """Median milliseconds of each method, timed interleaved."""
    return {name: float(np.median(values)) for name, values in time_interleaved(methods, queries).items()}
