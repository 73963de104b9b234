"""Hyper-parameter search: proposals, failed and interrupted trials, resume, and refusals."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.types import HydraContext, RunMode
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fashion_lsh.io.files import folder_lock
from hydra_plugins.fashion_lsh_optuna import OptunaSweeper, _distribution
from tests.cli.factories import run_script
from tests.runs.factories import tiny_backbone

ROOT = Path(__file__).parents[2]
METRIC = "sweep.metric=classifier/val/accuracy"
SPACE = "optim.lr=tag(log,interval(0.0001,0.01))"

Search = Callable[..., list[list[str]]]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Function that runs a search whose jobs call `score` with their overrides; returns the overrides of all jobs."""

    def run(*words: str, score: Callable[[list[str]], float | None] = lambda job: 0.5, **options: Any) -> list[Any]:
        loader = ConfigLoaderImpl(config_search_path=create_config_search_path(str(ROOT / "conf")))
        overrides = [f"runs={tmp_path}", "name=search", METRIC, *words]
        config = loader.load_configuration("train", [*overrides, "hydra/sweeper=optuna"], RunMode.MULTIRUN)
        sweeper = OptunaSweeper(**options)
        sweeper.hydra_context, sweeper.config = HydraContext(loader, Callbacks()), config
        launched: list[list[str]] = []

        class Launcher:
            def launch(self, batch: Sequence[list[str]], initial_job_idx: int) -> list[JobReturn]:
                assert initial_job_idx == len(launched)
                launched.extend([word for word in job if word not in overrides] for job in batch)
                return [JobReturn(status=JobStatus.COMPLETED, _return_value=score(job)) for job in batch]

        sweeper.launcher = Launcher()  # type: ignore[assignment]
        sweeper.validate_batch_is_legal = lambda batch: None  # type: ignore[method-assign]  # slow
        sweeper.sweep(overrides)
        return launched

    return run


def parse(word: str) -> Any:
    return OverridesParser.create().parse_override(word)


@pytest.mark.parametrize(
    ("sweep", "distribution"),
    [
        ("interval(0.1,2)", FloatDistribution(0.1, 2.0)),
        ("tag(log,interval(0.001,0.1))", FloatDistribution(0.001, 0.1, log=True)),
        ("int(interval(16,128))", IntDistribution(16, 128)),
        ("int(tag(log,interval(16,128)))", IntDistribution(16, 128, log=True)),
        ("range(16,129,16)", IntDistribution(16, 128, step=16)),
        ("range(16,128,16)", IntDistribution(16, 112, step=16)),
        ("24,48", CategoricalDistribution(["24", "48"])),
        ("choice(adamw,sgd)", CategoricalDistribution(["adamw", "sgd"])),
        ("null,a.pt", CategoricalDistribution(["null", "a.pt"])),
    ],
)
def test_sweeps_become_distributions(sweep: str, distribution: object) -> None:
    assert _distribution(parse(f"key={sweep}")) == distribution


@pytest.mark.parametrize(
    "sweep", ["range(9,1,-1)", "range(0,1,0.1)", "range(2,2)", "tag(log,interval(0,1))", "tag(log,range(16,129,16))"]
)
def test_sweep_without_distribution_is_refused(sweep: str) -> None:
    with pytest.raises(ConfigCompositionException, match=r"^key="):
        _distribution(parse(f"key={sweep}"))


@pytest.mark.parametrize(
    ("words", "options", "key"),
    [
        ([SPACE, "sweep.metric=null"], {}, "sweep.metric"),
        ([SPACE, "sweep.metric=search/category/map@100"], {}, "sweep.metric=search/category/map@100"),
        ([SPACE], {"n_trials": 0}, "hydra.sweeper.n_trials=0"),
        ([SPACE], {"max_batch_size": 0}, "hydra.sweeper.max_batch_size=0"),
        ([SPACE], {"direction": "up"}, "hydra.sweeper.direction=up"),
        (["optim.lr=0.1"], {}, "hydra.sweeper.params"),
    ],
)
def test_invalid_search_is_refused_before_any_job(
    words: list[str], options: dict[str, Any], key: str, search: Search, tmp_path: Path
) -> None:
    with pytest.raises(ConfigCompositionException, match=key):
        search(*words, **options)
    assert not list(tmp_path.glob("**/optuna.db"))


def test_missing_optuna_names_the_extra(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigCompositionException, match="extra sweeps"):
        search(SPACE)


def rate(job: list[str]) -> float:
    """Learning rate of a job."""
    return float(next(word for word in job if word.startswith("optim.lr=")).partition("=")[2])


def test_resumed_search_proposes_what_an_uninterrupted_search_does(search: Search, tmp_path: Path) -> None:
    """Further trials differ from the first ones; the score depends on the proposal, so that TPE's model is compared."""
    whole = search("name=whole", SPACE, score=rate, n_trials=14)
    parts = [job for count in (2, 2, 12, 14) for job in search("name=parts", SPACE, score=rate, n_trials=count)]
    assert parts == whole
    assert len({rate(job) for job in whole}) == 14
    assert (tmp_path / ".sweeps/whole/multirun.yaml").is_file()


def test_another_seed_gives_other_proposals(search: Search) -> None:
    assert search("name=a", SPACE, n_trials=1) != search("name=b", SPACE, n_trials=1, seed=100)


def test_search_finds_the_best_value(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    jobs = search("hash.bits=24,48", "classifier.epochs=1,2,3", score=lambda job: -float(job[-1][-1]), n_trials=12)
    assert len(jobs) == 12
    assert "12 of 12 trials finished" in caplog.text
    assert "classifier/val/accuracy: -1.0000 with" in caplog.text
    assert caplog.text.rstrip().endswith("classifier.epochs=1")
    assert search("name=least", SPACE, score=rate, n_trials=3, direction="minimize")
    assert f"{min(rate(job) for job in search('name=again', SPACE, score=rate, n_trials=3)):.4f} with" in caplog.text


def test_failed_trials_do_not_end_the_search_and_are_repeated(search: Search) -> None:
    scores: list[float | None] = [0.1, None, 0.3]
    first = search(SPACE, n_trials=3, score=lambda job: scores.pop(0))
    assert len(first) == 3
    assert search(SPACE, n_trials=3) == [first[1]]
    assert search(SPACE, n_trials=3) == []


def test_interrupted_trials_are_repeated(search: Search) -> None:
    interrupted: list[list[str]] = []

    def interrupt(job: list[str]) -> float:
        interrupted.append(job)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(SPACE, n_trials=2, score=interrupt)
    jobs = search(SPACE, n_trials=3)
    assert jobs[0] == interrupted[0][-1:]
    assert jobs == search("name=uninterrupted", SPACE, n_trials=3)


def test_equal_trials_of_a_batch_share_a_job(search: Search) -> None:
    assert search("hash.bits=choice(24)", n_trials=4, max_batch_size=2) == [["hash.bits=24"]] * 2
    assert len(search("name=many", SPACE, n_trials=5, max_batch_size=2)) == 5


def test_changed_search_is_refused_once_a_trial_has_finished(search: Search, tmp_path: Path) -> None:
    search(SPACE, n_trials=1, score=lambda job: None)
    search("optim.lr=interval(0.1,0.2)", "hash.bits=24", n_trials=1)  # no trial had finished
    for words, key in [
        (["optim.lr=interval(0.1,0.3)", "hash.bits=24"], "hydra.sweeper.params.optim.lr"),
        (["optim.lr=interval(0.1,0.2)", "hash.bits=48"], "hash.bits=48"),
        (["optim.lr=interval(0.1,0.2)", "hash.bits=24", "sweep.metric=hash_head/val/code_map"], "sweep.metric"),
    ]:
        with pytest.raises(ConfigCompositionException, match=rf"{tmp_path}.*{key}"):
            search(*words, n_trials=2)
    with pytest.raises(ConfigCompositionException, match="direction"):
        search("optim.lr=interval(0.1,0.2)", "hash.bits=24", n_trials=2, direction="minimize")
    further = ["data.workers=3", "logger=csv", "cache=any"]  # without effect on scores
    assert len(search("optim.lr=interval(0.1,0.2)", "hash.bits=24", *further, n_trials=2)) == 1


def test_a_search_runs_in_one_process_at_a_time(search: Search, tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path / ".sweeps/search/optuna.db"),
        pytest.raises(ConfigCompositionException, match="another process"),
    ):
        search(SPACE)


SMALL = ["backbone=resnet18", "data=folder", "data.image_size=32", "data.batch_size=16", "data.workers=0",
         "trainer=smoke", "classifier.epochs=1", "hash=none", "logger=csv", METRIC, "name=search"]  # fmt: skip


@pytest.mark.train
def test_search_of_train_reuses_runs_and_repeats_failed_trials(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trials on two values, of which one fails until its weights file is repaired."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)
    runs, weights = tmp_path / "runs", tmp_path / "weights.pt"
    weights.write_text("not weights")
    command = ["-m", "hydra/sweeper=optuna", *SMALL, f"data.root={shapes}", f"runs={runs}",
               f"backbone.weights=null,{weights}", "hydra.sweeper.n_trials=3", "hydra.sweeper.seed=2"]  # fmt: skip
    first = run_script("train.py", *command, status=1)
    assert "Sweep of 3 jobs, 1 failed" in first
    assert "2 of 3 trials finished" in first
    assert first.count("epoch 1/") == 1  # the second trial with the same value reads the scores of the first
    assert "classifier/val/accuracy    run" in first

    torch.save(tiny_backbone("resnet18").network.state_dict(), weights)
    second = run_script("train.py", *command)
    assert "Sweep of 1 jobs, 0 failed" in second
    assert "3 of 3 trials finished" in second
    assert second.count("epoch 1/") == 1
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{runs}/.sweeps/search/optuna.db")
    assert [trial.state.name for trial in study.get_trials()].count("COMPLETE") == 3
    assert f"Best classifier/val/accuracy: {study.best_value:.4f}" in second
    assert "0 jobs" in run_script("train.py", *command)
