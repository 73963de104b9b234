"""Bytes, time and recall of searches with codes, quantised embeddings and embeddings, on a finished run.

    python -m benchmarks.asymmetric RUN [--nprobe N] [--rerank-k K] [--queries N]

Prints the table of docs/search_policies.md. `activations` is the Euclidean distance between normalised activations,
before the sign, of queries and gallery; the last line is the ratio of `asymmetric` to it. Scores are by item, or by
category for data without items. Methods are timed in turn on the same queries, one at a time on one thread.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.baselines import quantized_pairs
from fashion_lsh.evaluation.latency import single_thread, time_interleaved
from fashion_lsh.evaluation.protocol import encode_sample, encode_split
from fashion_lsh.evaluation.run_evaluation import TRAIN_SAMPLES
from fashion_lsh.evaluation.scoring import probed_rows, relevance_by_column, score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.retrieval import MAX_HITS, Relevance, score_embeddings, score_float_distances
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.report.phrases import markdown_table
from fashion_lsh.runs.run import Run
from fashion_lsh.search.prefixes import asymmetric_queries
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.search.storage import storage_bytes

ROW_BYTES = 8  # id of a row in an inverted list
METRICS = (("recall", 1), ("recall", 10), ("map", 100))


@dataclass(frozen=True)
class Method:
    """A line of the table.

    Attributes:
        size: bytes per garment.
        scores: scores of Q queries.
        search: search with one query, given by its number.
    """

    size: int
    scores: Scores
    search: Callable[[int], Hits]


def policy_methods(searcher: Searcher, query: Encoded, relevance: Relevance) -> dict[str, Method]:
    """Search policies with the lists and `rerank_k` of the searcher, by name."""
    base, bits, dimensions = searcher.policy, searcher.model.bits, query.embeddings.shape[1]
    policies = [replace(base, distance="hamming"), replace(base, distance="asymmetric"),
                replace(base, distance="rerank", rerank_by="asymmetric"), replace(base, distance="rerank"),
                replace(base, distance="euclidean")]  # fmt: skip

    def method(policy_searcher: Searcher) -> Method:
        policy = policy_searcher.policy
        size = storage_bytes(policy, bits, dimensions)["bytes"]
        scores = score_search(policy_searcher, query, relevance)
        return Method(size, scores, lambda row: policy_searcher.search_encoded(query.at(row), MAX_HITS))

    return {policy.method: method(searcher.with_policy(policy)) for policy in policies}


def quantized_methods(
    searcher: Searcher, query: Encoded, gallery: Encoded, train_embeddings: np.ndarray, relevance: Relevance
) -> dict[str, Method]:
    """RaBitQ and int8 (see `quantized_pairs`), with one quantised array per inverted list for timing."""
    bits, list_ids = searcher.model.bits, searcher.gallery.lists
    lists = searcher.policy.select_lists(query.probabilities)
    rows_by_list = [np.flatnonzero(list_ids == list_id) for list_id in range(len(searcher.model.categories))]
    pairs_by_list = [quantized_pairs(query, gallery.take(rows), train_embeddings, bits) for rows in rows_by_list]

    def search(name: str, row: int) -> Hits:
        probed, found = lists[row][lists[row] >= 0], []
        for list_id in probed:
            queries, vectors = pairs_by_list[list_id][name]
            hits = vectors.search(queries[[row]], MAX_HITS)
            found.append((np.where(hits.rows < 0, -1, np.append(rows_by_list[list_id], -1)[hits.rows]), hits.distances))
        rows, distances = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        return Hits.nearest(rows, distances, MAX_HITS)

    def method(name: str) -> Method:
        queries, vectors = pairs[name]
        find_probed = probed_rows(lists, list_ids)
        scores = score_float_distances(lambda part: vectors.squared_distances(queries[part]), relevance, find_probed)
        return Method(vectors.vector_bytes + ROW_BYTES, scores, lambda row: search(name, row))

    pairs = quantized_pairs(query, gallery, train_embeddings, bits)
    return {name: method(name) for name in pairs}


def activation_method(searcher: Searcher, query: Encoded, gallery: Encoded, relevance: Relevance) -> Method:
    """Euclidean distance between the normalised activations of queries and gallery."""
    queries, vectors = (_normalise(asymmetric_queries(encoded)) for encoded in (query, gallery))
    index = FloatIndex(vectors.shape[1], len(searcher.model.categories))
    index.add(vectors, searcher.gallery.lists, np.arange(len(vectors)))
    lists = searcher.policy.select_lists(query.probabilities)
    scores = score_embeddings(queries, vectors, relevance, probed_rows(lists, searcher.gallery.lists))
    size = vectors.itemsize * vectors.shape[1] + ROW_BYTES
    return Method(size, scores, lambda row: index.search(queries[[row]], lists[[row]], MAX_HITS))


def _normalise(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))


def table(methods: dict[str, Method], num_timed: int) -> str:
    """Markdown table of all methods: bytes per garment, median milliseconds of `num_timed` queries, mean scores."""
    num_queries = len(next(iter(methods.values())).scores["map", 100])
    timed_rows = np.linspace(0, num_queries - 1, num_timed).astype(np.int64).tolist()
    searches = {name: _timed(method, timed_rows) for name, method in methods.items()}
    with single_thread():
        milliseconds = time_interleaved(searches, num_timed)
    titles = ["search", "bytes per garment", "ms", *(f"{'mAP' if name == 'map' else name}@{k}" for name, k in METRICS)]
    lines = [
        [name, method.size, f"{np.median(milliseconds[name]):.3f}",
         *(f"{np.nanmean(method.scores[metric]):.3f}" for metric in METRICS)]
        for name, method in methods.items()
    ]  # fmt: skip
    return markdown_table(lines, titles)


def _timed(method: Method, timed_rows: list[int]) -> Callable[[int], object]:
    return lambda number: method.search(timed_rows[number])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with a hash layer")
    parser.add_argument("--nprobe", type=int, default=1, help="number of inverted lists to probe")
    parser.add_argument("--rerank-k", type=float, default=0.1, help="candidates to re-rank, as search.rerank_k")
    parser.add_argument("--queries", type=int, default=200, help="number of timed queries")
    args = parser.parse_args(argv)
    run = Run(args.run)
    data = run.with_detections(run.instantiate(run.config["data"], GarmentData, box_selector=run.box_selector))
    model = run.model()
    query, gallery = (encode_split(model, data, split) for split in ("query", "gallery"))
    train_embeddings = encode_sample(model, data, TRAIN_SAMPLES)
    rerank_k = args.rerank_k if args.rerank_k < 1 else int(args.rerank_k)
    policy = replace(run.policy, nprobe=args.nprobe, rerank_k=rerank_k, rerank_by="euclidean", reranker=None)
    searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), policy)
    by_column = relevance_by_column(query.catalogue, gallery.catalogue, gallery.not_indexed)
    name, relevance = list(by_column.items())[-1]
    methods = policy_methods(searcher, query.encoded, relevance)
    methods |= quantized_methods(searcher, query.encoded, gallery.encoded, train_embeddings, relevance)
    methods["activations"] = activation_method(searcher, query.encoded, gallery.encoded, relevance)
    recalls = {method: np.nanmean(methods[method].scores["recall", 10]) for method in ("asymmetric", "activations")}
    counts = f"{len(query.catalogue):,} queries, {len(gallery.catalogue):,} garments"
    print(f"{counts}, {model.bits} bits, {policy.scope}, relevance by {name}\n")
    print(table(methods, min(args.queries, len(query.catalogue))))
    print(f"\nrecall@10 of asymmetric / activations: {recalls['asymmetric'] / recalls['activations']:.3f}")


if __name__ == "__main__":
    main()
