"""Jobs in several processes: launchers, and runs that need the same classifier."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.factories import SMALL, run_process

pytestmark = pytest.mark.train

TWO_JOBS = [*(word for word in SMALL if word not in ("data.workers=0", "logger=csv")), "hash=none", "seed=0,1",
            "data.workers=1", "logger=wandb", "name=two"]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ["hydra/launcher=joblib"],
        pytest.param(["hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=1"], marks=pytest.mark.slow),
    ],
    ids=["joblib", "submitit_local"],
)
def test_jobs_of_a_launcher_train_with_loader_processes(
    options: list[str], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job is one wandb run, and a repetition reads the scores of both."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    command = ["train.py", "-m", *options, *TWO_JOBS, f"data.root={shapes}", f"runs={tmp_path}"]
    printed = run_process(*command)
    assert "Sweep of 2 jobs, 0 failed" in printed
    assert "validated against ConfigStore" not in printed
    runs = sorted(path.parent for path in tmp_path.glob("two/*/metrics.json"))
    assert len(runs) == 2
    assert all(len(list(run.glob("wandb/offline-run-*"))) == 1 for run in runs)
    scores = {f"{json.loads((run / 'metrics.json').read_text())['search/category/map@100']:.4f}" for run in runs}
    again = run_process(*command)
    assert all((run / "train.log").read_text().count("epoch 1/") == 1 for run in runs)
    assert all(score in printed and score in again for score in scores)


def test_two_processes_train_a_common_classifier_once(shapes: Path, tmp_path: Path) -> None:
    """The second process waits for the lock of the stage, and copies the classifier of the first one."""
    common = ["train.py", *SMALL, f"data.root={shapes}", f"runs={tmp_path}", "hash.epochs=1"]
    with ThreadPoolExecutor() as executor:
        printed = list(executor.map(lambda bits: run_process(*common, f"hash.bits={bits}"), (8, 16)))
    assert sum("classifier: epoch 1/1" in text for text in printed) == 1
    assert sum("Reusing classifier.ckpt" in text for text in printed) == 1
    assert all("hash_head: epoch 1/1" in text for text in printed)
    assert len(list(tmp_path.glob(".locks/.classifier-*.lock"))) == 1
    first, second = (path.read_bytes() for path in tmp_path.glob("main/*/classifier.ckpt"))
    assert first == second
