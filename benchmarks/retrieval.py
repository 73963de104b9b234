"""Our searches beside FAISS and numpy on made-up codes of 30 lists, one thread; ratios are of medians in turns."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import torch
from faiss.contrib import ivf_tools
from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.latency import interleaved, one_thread
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

BITS, LISTS, ROWS, K, LENGTH = 64, 30, 500_000, 100, 256
SIZES = (10_000, 100_000, 500_000, 1_000_000, 10_000_000)
QUERIES, BATCH = 200, 64
EACH = np.arange(LISTS)

Ask = Callable[[np.ndarray, np.ndarray, int], object]


def retrieval_figures() -> dict[str, float]:
    """All ratios and times, by name."""
    with one_thread():
        figures = searches() | reranking() | storing() | whole_answer()
        sizes = {size: by_size(size) for size in SIZES}
    print(tabulate([(f"{size:,}", *times.values()) for size, times in sizes.items()],
                   ["codes", *next(iter(sizes.values()))], floatfmt=".3f"))  # fmt: skip
    return figures | {f"codes_{size}/{name}": value for size, times in sizes.items() for name, value in times.items()}


def made(rows: int) -> tuple[HashIndex, np.ndarray, np.ndarray]:
    """An index of random codes, the codes and their lists."""
    rng = np.random.default_rng(0)
    codes, lists = rng.integers(0, 256, (rows, BITS // 8), dtype=np.uint8), rng.integers(0, LISTS, rows)
    index = HashIndex(BITS, LISTS)
    index.add(codes, lists, np.arange(rows))
    return index, codes, lists


def asked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """QUERIES random codes, with one list each, and with all."""
    rng = np.random.default_rng(1)
    one = np.full((QUERIES, LISTS), -1)
    one[:, 0] = rng.integers(0, LISTS, QUERIES)
    return rng.integers(0, 256, (QUERIES, BITS // 8), dtype=np.uint8), one, np.tile(EACH, (QUERIES, 1))


def searches() -> dict[str, float]:
    """One list and all lists against the same of FAISS, FAISS's flat index, and numpy."""
    index, codes, lists = made(ROWS)
    queries, one, all_lists = asked()
    check(index, codes, lists, queries, one)
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(codes)
    floats = faiss.IndexFlatL2(LENGTH)
    floats.add(np.random.default_rng(2).random((ROWS // 5, LENGTH), dtype=np.float32))
    bare = index._index

    def asking(of: Ask, lists: np.ndarray, count: int = 1, k: int = K) -> Callable[[int], object]:
        def ask(at: int) -> object:
            some = np.arange(at, at + count) % QUERIES
            return of(queries[some], lists[some], k)

        return ask

    def faiss_call(codes: np.ndarray, lists: np.ndarray, k: int) -> object:
        return ivf_tools.search_preassigned(bare, codes, k, lists)  # type: ignore[no-untyped-call]

    def flat_call(codes: np.ndarray, _: np.ndarray, k: int) -> object:
        return flat.search(codes, k)

    def over_flat(of: Ask, count: int, k: int) -> float:
        took = times({"ours": asking(of, one, count, k), "flat": asking(flat_call, one, count, k)})
        return took["flat"] / took["ours"]

    speedups = {
        f"one_list{exact}_speedup_over_flat{single}{deep}": over_flat(of, count, k)
        for exact, of in (("", index.search), ("_exact", index.search_exact))
        for single, count in (("", BATCH), ("_single", 1))
        for deep, k in (("", 10), ("_k100", 100))
    }

    beside_all = times({"all_lists": asking(index.search, all_lists), "flat": asking(flat_call, one)})
    beside_faiss = times({"one_list": asking(index.search, one), "one_list_faiss": asking(faiss_call, one)})
    batches = times({"ours": asking(index.search, one, BATCH), "faiss": asking(faiss_call, one, BATCH)})
    others = times({
        "one_list_exact": asking(index.search_exact, one),
        "numpy": lambda at: np.argpartition(hamming(queries[[at]], codes)[0], K),
        "flat_l2_100k": lambda _: floats.search(np.full((1, LENGTH), 0.5, dtype=np.float32), K),
    })  # fmt: skip
    return {
        **{f"{name}_ms": value for name, value in (beside_all | beside_faiss | others).items()},
        **speedups,
        "call_over_faiss": batches["ours"] / batches["faiss"],
        "single_call_extra_us": 1000 * (beside_faiss["one_list"] - beside_faiss["one_list_faiss"]),
        "all_lists_over_flat": beside_all["all_lists"] / beside_all["flat"],
    }


def check(index: HashIndex, codes: np.ndarray, lists: np.ndarray, queries: np.ndarray, one: np.ndarray) -> None:
    """Inside its category a search must find what numpy finds; otherwise its speed is worth nothing."""
    for query in range(20):
        mine = np.flatnonzero(lists == one[query, 0])
        distances = hamming(queries[[query]], codes[mine])[0]
        order = np.lexsort((mine, distances))[:K]
        found = index.search_exact(queries[[query]], one[[query]], K)
        if not np.array_equal(found.rows[0], mine[order]):
            raise AssertionError(f"query {query}: the index and numpy differ")


def reranking() -> dict[str, float]:
    """100 random rows of a mapped file put in the order of Euclid."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.npy"
        np.save(path, rng.standard_normal((ROWS, LENGTH), dtype=np.float32).astype(np.float16))
        kept = Embeddings([np.load(path, mmap_mode="r")])
        sum(float(block[0, 0]) for block in kept.blocks())  # all of it is in memory once
        queries = rng.standard_normal((QUERIES, LENGTH), dtype=np.float32)
        rows = rng.integers(0, ROWS, (QUERIES, 100))
        found = [Hits(rows[[at]], np.zeros((1, 100), dtype=np.float32)) for at in range(QUERIES)]
        return {"rerank_100_ms": times({"": lambda at: rerank(queries[[at]], found[at], kept, 100)})[""]}


def storing() -> dict[str, float]:
    """Adding 500,000 codes, and opening a gallery of them."""
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    index, codes, lists = made(ROWS)
    took = time.perf_counter() - began
    stats = index.stats()
    probabilities = np.zeros((ROWS, LISTS), dtype=np.float32)
    probabilities[np.arange(ROWS), lists] = 1
    names = np.char.add("garment ", np.arange(ROWS).astype(str))
    catalogue = Catalogue.from_columns({"id": names, "image": names, "category": lists.astype(str)})
    model = fitted("resnet18")
    vectors = rng.standard_normal((ROWS, LENGTH), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        Gallery.build(model, Encoded(probabilities, codes, vectors), catalogue).save(Path(folder))
        began = time.perf_counter()
        Gallery.open(Path(folder), model.fingerprint())
        opened = time.perf_counter() - began
        began = time.perf_counter()
        path = next(Path(folder).glob("index-*"))
        HashIndex.open(path)
        alone, size = time.perf_counter() - began, path.stat().st_size
    bytes_held = stats.vector_bytes + stats.row_bytes
    return {"add_500k_s": took, "open_500k_s": opened, "open_index_500k_s": alone,
            "bytes_a_picture": max(size, bytes_held) / ROWS}  # fmt: skip


def whole_answer() -> dict[str, float]:
    """A picture of 224 x 224 to its hits in 500,000, against the bare forward of the same ResNet101."""
    model, rng = fitted("resnet101"), np.random.default_rng(0)
    index, _, lists = made(ROWS)
    names = np.arange(ROWS).astype(str)
    kept = Embeddings.from_array(rng.standard_normal((ROWS, LENGTH), dtype=np.float32))
    catalogue = Catalogue.from_columns({"id": names, "image": names, "category": lists.astype(str)})
    gallery = Gallery(index, kept, catalogue, model.fingerprint())
    searcher = Searcher(model, gallery, SearchPolicy("rerank", 1, 200, alpha=0.5, min_confidence=0.0))
    pictures = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    images = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())

    @torch.inference_mode()
    def bare(at: int) -> object:
        return model.backbone.network(images[[at % 8]].float() / 255)

    took = times({"query": lambda at: searcher.search(pictures[at % 8], None, 12), "forward": bare}, queries=40)
    return {f"resnet101_224_{name}_ms": value for name, value in took.items()} | {
        "query_over_forward": took["query"] / took["forward"]
    }


def by_size(rows: int) -> dict[str, float]:
    """One list and all lists of an index of so many codes."""
    index, _, _ = made(rows)
    queries, one, all_lists = asked()
    return times({
        "one list ms": lambda at: index.search(queries[[at]], one[[at]], K),
        "all lists ms": lambda at: index.search(queries[[at]], all_lists[[at]], K),
    }, queries=50)  # fmt: skip


def fitted(backbone: str) -> CropModel:
    """A HashHeadModel of random weights: its time is that of a fitted one."""
    torch.manual_seed(0)
    names = [f"category {number:02}" for number in range(LISTS)]
    return HashHeadModel(
        backbone, names, BITS, LENGTH, image_size=224, margin=0.1, frozen=False, loss="softmax", bihalf=False,
        label_smoothing=0.0,
    ).eval()  # fmt: skip


def times(arms: dict[str, Callable[[int], object]], queries: int = QUERIES) -> dict[str, float]:
    """Median milliseconds of each, taken in turns."""
    return {name: float(np.median(values)) for name, values in interleaved(arms, queries).items()}
