"""Runs that repeat one with other seeds and splits, as rows: what each scores, and what two have in common."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from fashion_lsh.evaluation.corruptions import CORRUPTIONS
from fashion_lsh.keys import comparable
from fashion_lsh.report.findings import Findings, read
from fashion_lsh.report.pages import Row
from fashion_lsh.retrieval.codes import unpack
from fashion_lsh.run import Run
from fashion_lsh.settings import flat

VARIED = ("seed", "split_seed", "backbone", "weights")  # settings in which repeats may differ
SCORES = {
    "top-1": "accuracy",
    "macro F1": "macro_f1",
    "category mAP@100": "category/map@100",
    "item mAP@100": "item/map@100",
    "item recall@10": "item/recall@10",
}


def repeats(runs: Sequence[Run]) -> list[Row]:
    """Rows of finished runs that differ in backbone, seed and split alone.

    `of` says what a row is about: a `run`, with the scores of its queries (`blur top-1`: of spoilt ones); a `category`
    of a run; a `pair` of runs of one backbone and split, with the share of code bits in which the same query pictures
    differ, of queries that are named alike, and of the first ten hits that are the same.

    Raises:
        FileNotFoundError: a run is not finished.
        ValueError: two runs are of the same backbone, seed and split, or differ in more, or a file is damaged.
    """
    found = sorted(map(read, runs), key=lambda each: list(_about(each).values()))
    for one, other in pairwise(found):
        if _about(one) == _about(other):
            raise ValueError(
                f"{one.run.path} and {other.run.path} are of the same backbone, seed and split: give one of them"
            )
    for pair in pairwise(found):
        _check_alike(*pair)
    rows = [_scores(each) for each in found]
    rows += [row for each in found for row in _categories(each)]
    pairs = [pair for pair in combinations(found, 2) if _alike(pair[0]) == _alike(pair[1])]
    return rows + [_pair(*pair) for pair in pairs]


def _check_alike(one: Findings, other: Findings) -> None:
    """Hold two runs to the same garments, and to the same settings but for backbone, seed and split."""
    settings = [dict(flat(comparable(each.config))) for each in (one, other)]
    for name in sorted(settings[0].keys() | settings[1].keys()):
        values = [each.get(name) for each in settings]
        varied = name.startswith("backbone.") or name.rpartition(".")[2] in VARIED
        if values[0] != values[1] and not varied:
            raise ValueError(
                f"{one.run.path} and {other.run.path} differ in {name} ({values[0]} and {values[1]}): give runs that "
                "differ in backbone, seed and split alone"
            )
    splits = {each.config["data"]["split_seed"] for each in (one, other)}
    if len(splits) == 1 and one.garments.checksum != other.garments.checksum:
        raise ValueError(f"{one.run.path} and {other.run.path} are of different data: give runs of the same garments")


def _about(found: Findings) -> Row:
    return _alike(found) | {"seed": found.config["seed"]}


def _alike(found: Findings) -> Row:
    return {"backbone": found.config["backbone"]["name"], "split": found.config["data"]["split_seed"]}


def _scores(found: Findings) -> Row:
    row: Row = {"of": "run"} | _about(found) | {"job": found.run.path.name}
    for start, prefix in (("", "query"), *((f"{name} ", f"corrupted/{name}") for name in CORRUPTIONS)):
        row |= {
            f"{start}{title}": found.metrics[f"{prefix}/{name}"]
            for title, name in SCORES.items()
            if f"{prefix}/{name}" in found.metrics
        }
    codes = found.metrics.get("rows/code/category/map@100")
    return row | ({} if codes is None else {"codes alone, all": codes})


def _categories(found: Findings) -> Iterator[Row]:
    names, right = found.column("category"), found.column("predicted") == found.column("category")
    ap = found.column("category/map@100")
    for name in np.unique(names.astype(str)):
        own = names == name
        scores = {"top-1": float(right[own].mean()), "category mAP@100": float(np.nanmean(ap[own]))}
        yield {"of": "category"} | _about(found) | {"category": str(name), "queries": int(own.sum())} | scores


def _pair(one: Findings, other: Findings) -> Row:
    """Two runs that answered the same query pictures from the same gallery."""
    ids = [each.column("id").tolist() for each in (one, other)]
    if ids[0] != ids[1]:
        raise ValueError(f"{one.run.path} and {other.run.path} are of different queries: make one of them again")
    row: Row = {"of": "pair"} | _alike(one) | {"seeds": f"{one.config['seed']} and {other.config['seed']}"}
    if one.codes and other.codes:
        row |= bits_changed(one.codes.query, other.codes.query, one.bits)
    row["named alike"] = float((one.column("predicted") == other.column("predicted")).mean())
    return row | {"hits alike": hits_alike(*(each.queries["hits"].to_pylist() for each in (one, other)))}


def bits_changed(codes: np.ndarray, others: np.ndarray, bits: int) -> dict[str, float]:
    """`bits changed`: the share in which codes of the same pictures differ, 0..1; `by chance`: of any two pictures.

    Two codes learnt apart agree on no meaning of a bit: the first is then near the second, about a half.

    Args:
        codes, others: (Q, W) uint8, packed, of the same pictures.
        bits: length of a code.
    """
    ones, theirs = (unpack(each, bits).mean(axis=0) for each in (codes, others))  # (bits,)
    return {
        "bits changed": float(np.bitwise_count(codes ^ others).sum() / (len(codes) * bits)),
        "by chance": float((ones * (1 - theirs) + (1 - ones) * theirs).mean()),
    }


def hits_alike(hits: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    """Mean over queries of the share of the first hits, ids, that both found: shared ones over the longer list.

    A query that finds nothing on both sides is left out; none is left: 0.
    """
    shares = [
        len(set(one) & set(other)) / max(len(one), len(other))
        for one, other in zip(hits, others, strict=True)
        if one or other
    ]
    return float(np.mean(shares)) if shares else 0.0
