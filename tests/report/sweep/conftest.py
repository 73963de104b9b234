"""Fixtures: experiment folders."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.metrics.results import Result
from tests.report.sweep.factories import (
    HASH_HEAD,
    README,
    random_outcomes,
    write_job,
    write_page_settings,
    write_scored_job,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    write_job(tmp_path, "aaaa0000", "vgg16", 0.25)
    write_job(tmp_path, "bbbb0000", "alexnet", 0.1234567, Result("garments", 311, method="data"))
    return tmp_path


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    """A base and three configurations with five seeds: better codes, lower accuracy, and no per-query scores.

    The base and the configuration with lower accuracy have four seeds in common.
    """
    (tmp_path / "README.md").write_text(README)
    write_page_settings(tmp_path, base="hash=softmax")
    for seed in range(5):
        base = random_outcomes(seed, 0.5)
        write_scored_job(
            tmp_path, f"aaaa000{seed}", {"_target_": HASH_HEAD, "bits": 48}, seed, accuracy=base, codes=base
        )
        same_accuracy = np.roll(base, 1) if seed else base
        write_scored_job(tmp_path, f"bbbb000{seed}", {"_target_": HASH_HEAD, "bits": 48, "loss": "csq", "weight": 0.1},
                         seed, accuracy=same_accuracy, codes=base | random_outcomes(seed + 9, 0.6))  # fmt: skip
        write_scored_job(tmp_path, f"cccc000{seed}", {"_target_": "fashion_lsh.models.baselines.LSH", "bits": 48},
                         seed + 1, accuracy=random_outcomes(seed + 1, 0.5) & random_outcomes(7, 0.3))  # fmt: skip
        write_scored_job(tmp_path, f"dddd000{seed}", None, seed)
    return tmp_path
