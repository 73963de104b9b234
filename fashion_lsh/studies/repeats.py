"""Compare runs that differ in seed and split: scores of each run, and agreement between pairs."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.index.codes import unpack
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.sweep.metrics import METRICS
from fashion_lsh.studies.query_outputs import RepeatedRun

VARIED = ("seed", "split_seed", "backbone")  # settings that may differ between runs
SCORES = ("top-1", "macro F1", "category mAP@100", "item mAP@100", "item recall@10")


def repeat_rows(runs: Sequence[RepeatedRun]) -> list[Row]:
    """Return result rows of runs that differ only in backbone, seed and split.

    Column `of` is the type of a row:
        run: scores of a run on clean and on corrupted queries (`blur top-1`).
        category: scores of one category in a run.
        pair: two runs with the same backbone and split: fraction of differing code bits, fraction of queries with the
            same prediction, and overlap of the first ten hits.

    Raises:
        ValueError: two runs have the same backbone, seed and split, or differ in other settings.
    """
    ordered = sorted(runs, key=lambda run: list(_identity(run).values()))
    for one, other in pairwise(ordered):
        if _identity(one) == _identity(other):
            raise ValueError(
                f"jobs {one.key} and {other.key} have the same backbone, seed and split; remove one of them"
            )
    for pair in pairwise(ordered):
        _check_comparable(*pair)
    rows = [_scores(each) for each in ordered]
    rows += [row for each in ordered for row in _categories(each)]
    pairs = [pair for pair in combinations(ordered, 2) if _group(pair[0]) == _group(pair[1])]
    return rows + [_pair(*pair) for pair in pairs]


def _check_comparable(one: RepeatedRun, other: RepeatedRun) -> None:
    """Check that two runs differ only in backbone, seed and split, and have the same data if the split is the same."""
    same_backbone = one.job.settings["backbone.name"] == other.job.settings["backbone.name"]
    settings = [_compared_settings(each.job.settings, same_backbone) for each in (one, other)]
    for name in sorted(settings[0].keys() | settings[1].keys()):
        values = [each.get(name) for each in settings]
        if values[0] != values[1]:
            raise ValueError(
                f"{one.key} and {other.key} differ in {name} ({values[0]} and {values[1]}); keep jobs that differ "
                "only in backbone, seed and split"
            )
    splits, data = ({each.job.settings[name] for each in (one, other)} for name in ("data.split_seed", "data"))
    if len(splits) == 1 and len(data) > 1:
        raise ValueError(f"{one.key} and {other.key} have different data; keep jobs of the same data set")


def _compared_settings(settings: Row, same_backbone: bool) -> Row:
    """Settings that must be equal in both runs; settings of the backbone are included only if `same_backbone`."""
    return {
        name: value
        for name, value in settings.items()
        if name != "data" and (same_backbone if name.startswith("backbone.") else name.split(".")[-1] not in VARIED)
    }


def _identity(run: RepeatedRun) -> Row:
    return _group(run) | {"seed": run.job.settings["seed"]}


def _group(run: RepeatedRun) -> Row:
    return {"backbone": run.job.settings["backbone.name"], "split": run.job.settings["data.split_seed"]}


def _scores(run: RepeatedRun) -> Row:
    row: Row = {"row type": "run"} | _identity(run) | {"job": run.key}
    results = run.job.results
    for prefix, condition in (("", ""), *((f"{name} ", f"corruption={name}") for name in CORRUPTIONS)):
        found = {title: results.find(METRICS[title]._replace(condition=condition)) for title in SCORES}
        row |= {f"{prefix}{title}": result.value for title, result in found.items() if result}
    codes_only = results.find(METRICS["codes only"])
    return row | ({} if codes_only is None else {"codes only": codes_only.value})


def _categories(run: RepeatedRun) -> Iterator[Row]:
    outputs = run.outputs
    for name in np.unique(outputs.true):
        is_category = outputs.true == name
        is_correct = outputs.predicted[is_category] == name
        scores = {
            "top-1": float(is_correct.mean()),
            "category mAP@100": round(float(np.nanmean(outputs.ap[is_category])), 6),
        }
        counts = {"category": str(name), "queries": int(is_category.sum())}
        yield {"row type": "category"} | _identity(run) | counts | scores


def _pair(one: RepeatedRun, other: RepeatedRun) -> Row:
    """Compare two runs on the same queries and gallery."""
    first, second = one.outputs, other.outputs
    if first.queries.tolist() != second.queries.tolist():
        raise ValueError(f"{one.key} and {other.key} have different queries; run one of the two jobs again")
    row: Row = (
        {"row type": "pair"} | _group(one) | {"seeds": f"{one.job.settings['seed']} and {other.job.settings['seed']}"}
    )
    if first.codes.size and second.codes.size:
        row |= bits_changed(first.codes, second.codes, int(one.job.settings.get("hash.bits", 8 * first.codes.shape[1])))
    row["same prediction"] = float(((first.predicted == second.predicted) & (first.predicted != "")).mean())
    return row | {"hit overlap": hit_overlap(first.hits, second.hits)}


def bits_changed(codes: np.ndarray, other_codes: np.ndarray, bits: int) -> dict[str, float]:
    """Fraction of differing code bits, 0..1: `bits changed` for the same image, `by chance` for two arbitrary images.

    For separately trained models, whose bits have no common meaning, both fractions are about 0.5.

    Args:
        codes, other_codes: (Q, W) uint8, packed codes of the same images from two models.
        bits: Code length.
    """
    ones, other_ones = (unpack(each, bits).mean(axis=0) for each in (codes, other_codes))  # (bits,)
    return {
        "bits changed": float(np.bitwise_count(codes ^ other_codes).sum() / (len(codes) * bits)),
        "by chance": float((ones * (1 - other_ones) + (1 - ones) * other_ones).mean()),
    }


def hit_overlap(hits: Sequence[Sequence[str]], other_hits: Sequence[Sequence[str]]) -> float:
    """Mean overlap of two hit lists: common hits divided by the length of the longer list, 0..1.

    Queries without hits in both lists are skipped; 0 if all queries are skipped.

    Args:
        hits, other_hits: ids of the hits of each query.
    """
    pairs = [(set(one), set(other)) for one, other in zip(hits, other_hits, strict=True) if one or other]
    overlaps = [len(one & other) / max(len(one), len(other)) for one, other in pairs]
    return float(np.mean(overlaps)) if overlaps else 0.0
