"""Score on val by which a sweep compares its jobs."""

import math

from fashion_lsh.metrics.results import ResultTable

EXAMPLES = "classifier/val/accuracy or hash_head/val/code_map"


def check_objective(metric: str, has_hash_head: bool = True) -> None:
    """Check before training that `sweep.metric` names a score on val; settings must not be chosen on the queries.

    Args:
        metric: flat name of a result (see ResultTable.flat), such as `hash_head/val/code_map`.
        has_hash_head: whether the run trains a hash layer.

    Raises:
        ValueError: the score is not one on val, or belongs to a hash layer that the run does not train.
    """
    if "val" not in metric.split("/"):
        raise ValueError(f"sweep.metric={metric}: not a score on val; settings must not be chosen on the queries, "
                         f"set sweep.metric to {EXAMPLES}")  # fmt: skip
    if metric.startswith("hash_head/") and not has_hash_head:
        raise ValueError(f"sweep.metric={metric}: the run trains no hash layer; set "
                         "sweep.metric=classifier/val/accuracy, or hash=softmax")  # fmt: skip


def objective(results: ResultTable, metric: str) -> float:
    """Return a score on val of a finished run.

    Args:
        results: results of the run.
        metric: flat name of the score.

    Raises:
        ValueError: the run has no such score on val, or the score is NaN or infinite.
    """
    row = results.by_flat_name(metric)
    if row is None or row.split != "val":
        names = sorted(
            name for name in results.flat() if (found := results.by_flat_name(name)) and found.split == "val"
        )
        raise ValueError(f"sweep.metric={metric}: not a score on val of this run; set sweep.metric to one of: "
                         f"{', '.join(names)}")  # fmt: skip
    if not math.isfinite(row.value):
        raise ValueError(f"sweep.metric={metric}: {row.value}, training diverged; lower optim.lr")
    return row.value
