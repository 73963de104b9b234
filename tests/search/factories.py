"""Default settings of a search policy, and a reference implementation of SearchPolicy.select_lists."""

from typing import Any

import numpy as np

from fashion_lsh.search.policy import SearchPolicy

POLICY_DEFAULTS: Any = {"alpha": 0.5, "min_confidence": 0.0, "min_probability": None}


def expected_lists(probabilities: np.ndarray, policy: SearchPolicy) -> list[int]:
    """Select the lists to probe of one query in a loop."""
    order = sorted(range(len(probabilities)), key=lambda category: (-probabilities[category], category))
    if policy.nprobe == "all" or probabilities[order[0]] < np.float32(policy.min_confidence):
        return order
    selected, cumulative = [], np.float32(0)
    for category in order:
        selected.append(category)
        cumulative += probabilities[category]
        if len(selected) >= policy.nprobe and cumulative >= np.float32(policy.min_probability or 0):
            break
    return selected
