"""Search hyper-parameters with Optuna: hydra/sweeper=optuna.

Hydra imports every module of this namespace package when it starts, so Optuna is imported only by a search.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import Trial

log = logging.getLogger("fashion_lsh.optuna")  # Hydra logs only warnings of its plugins

DATABASE = "optuna.db"  # in the folder of the sweep, runs/.sweeps/<name>
QUEUED = "fixed_params"  # attribute of a trial that repeats another one
Space = dict[str, "BaseDistribution"]


class SearchError(ConfigCompositionException):
    """The search cannot run; Hydra prints the message without traceback."""


class OptunaSweeper(Sweeper):
    """Hydra sweeper that proposes settings with Optuna's tree-structured Parzen estimator (TPE).

    All trials are in the database of the sweep folder. If the command is repeated, failed and interrupted trials are
    run again with the same values, and the search continues until `n_trials` trials are finished. A trial with the
    settings of a finished run reads the score of that run. A job that raises an error fails its trial, not the search;
    one that is killed may end the search, which the same command continues.

    Args:
        n_trials: number of finished trials at which the search ends, those of earlier commands included.
        direction: whether the score is maximised or minimised.
        max_batch_size: number of trials that the launcher starts at once; the next ones are proposed when all have
            ended.
        seed: random seed of the proposals.
        params: search space, overrides by key as on the command line, where further ones may be given: `24,48`,
            `range(16,129,16)` (integers, without the end), `interval(0.0001,0.01)`, `tag(log,interval(0.0001,0.01))`,
            `int(interval(16,128))` (with the end). Single values are the same in all trials.
    """

    def __init__(
        self,
        n_trials: int = 20,
        direction: Literal["maximize", "minimize"] = "maximize",
        max_batch_size: int = 1,
        seed: int = 0,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.n_trials, self.direction, self.max_batch_size = n_trials, direction, max_batch_size
        self.seed, self.params, self.num_jobs = seed, dict(params or {}), 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context: HydraContext = hydra_context
        self.config: DictConfig = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search.

        Raises:
            SearchError: Optuna is not installed, an option is invalid, `sweep.metric` is not a score on val, another
                process runs this search, or its settings have changed since its first trial.
        """
        from fashion_lsh.io.files import folder_lock

        self._check_options()
        space, fixed = self._parse(arguments)
        folder = Path(str(self.config.hydra.sweep.dir)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        with ExitStack() as stack:
            try:
                stack.enter_context(folder_lock(folder / DATABASE))
            except ValueError as error:
                raise SearchError(str(error)) from error
            self._search(self._open_study(folder / DATABASE, space, fixed), space, fixed)

    def _check_options(self) -> None:
        from fashion_lsh.runs.objective import EXAMPLES, check_objective

        try:
            import optuna
        except ImportError as error:
            raise SearchError("hydra/sweeper=optuna: Optuna is not installed; install the extra sweeps") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.direction not in ("maximize", "minimize"):
            raise SearchError(f"hydra.sweeper.direction={self.direction}: set maximize or minimize")
        for name in ("n_trials", "max_batch_size"):
            if (value := getattr(self, name)) < 1:
                raise SearchError(f"hydra.sweeper.{name}={value}: set 1 or more")
        if not (metric := OmegaConf.select(self.config, "sweep.metric")):
            raise SearchError(f"sweep.metric=null: set the score on val to optimise, {EXAMPLES}")
        try:
            check_objective(metric)
        except ValueError as error:
            raise SearchError(str(error)) from error

    def _parse(self, arguments: Sequence[str]) -> tuple[Space, list[str]]:
        """Return the search space and the overrides of all trials; an argument replaces an entry of `params`."""
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = {each.get_key_element(): each for each in parser.parse_overrides(words)}
        space = {key: _distribution(each) for key, each in overrides.items() if each.is_sweep_override()}
        if not space:
            raise SearchError(
                "hydra.sweeper.params: the search space is empty; give values such as hash.bits=24,48"
                " or 'optim.lr=tag(log,interval(0.0001,0.01))'"
            )
        return space, [str(each.input_line) for key, each in overrides.items() if key not in space]

    def _open_study(self, path: Path, space: Space, fixed: Sequence[str]) -> "Study":
        """Open or create the study in the database.

        Raises:
            SearchError: search space, metric, direction or other settings differ from those of the study.
        """
        import optuna

        from fashion_lsh.runs.config import flatten
        from fashion_lsh.runs.sweep import comparable_settings

        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(fixed))
        settings: dict[str, Any] = dict(flatten(comparable_settings(cfg))) | {
            "sweep.metric": self.config.sweep.metric,
            "hydra.sweeper.direction": self.direction,
            **{f"hydra.sweeper.params.{key}": str(distribution) for key, distribution in space.items()},
        }
        options: dict[str, Any] = {"storage": f"sqlite:///{path}", "study_name": "search"}
        study = optuna.create_study(**options, direction=self.direction, load_if_exists=True)
        known = study.user_attrs.get("settings", {})
        changed = sorted(key for key in known | settings if known.get(key) != settings.get(key))
        if changed and _count(study)["COMPLETE"]:
            key = changed[0]
            raise SearchError(
                f"{path}: {key}={settings.get(key)}, but {known.get(key)} in the finished trials of this search; "
                f"set it as before, or give the search another name (name=...)"
            )
        if changed:  # a new study, or one in which no trial has finished
            optuna.delete_study(**options)
            study = optuna.create_study(**options, direction=self.direction)
            study.set_user_attr("settings", settings)
        return study

    def _search(self, study: "Study", space: Space, fixed: Sequence[str]) -> None:
        """Run trials until `n_trials` are finished, or as many as were missing have been run."""
        import optuna

        _repeat_unfinished(study, space)
        num_missing = self.n_trials - _count(study)["COMPLETE"]
        while num_missing > 0:
            # one seed per proposal: otherwise a resumed search would repeat its first proposals
            num_proposed = sum(QUEUED not in trial.system_attrs for trial in study.get_trials(deepcopy=False))
            is_parallel = self.max_batch_size > 1
            study.sampler = optuna.samplers.TPESampler(seed=self.seed + num_proposed, constant_liar=is_parallel)
            trials = [study.ask(space) for _ in range(min(self.max_batch_size, num_missing))]
            self._run(study, trials, fixed)
            num_missing -= len(trials)
        num_finished = _count(study)["COMPLETE"]
        log.info("\nSearch: %d of %d trials finished", num_finished, self.n_trials)
        if num_finished:
            best = study.best_trial
            log.info("Best %s: %.4f with %s", self.config.sweep.metric, best.value, " ".join(_overrides(best.params)))

    def _run(self, study: "Study", trials: Sequence["Trial"], fixed: Sequence[str]) -> None:
        """Run trials with the launcher and store their scores; equal trials of a batch share one job."""
        from optuna.trial import TrialState

        jobs = list(dict.fromkeys((*fixed, *_overrides(trial.params)) for trial in trials))
        batch = [list(job) for job in jobs]
        self.validate_batch_is_legal(batch)
        returns = self.launcher.launch(batch, initial_job_idx=self.num_jobs)
        self.num_jobs += len(batch)
        scores = {job: _score(each) for job, each in zip(jobs, returns, strict=True)}
        for trial in trials:
            score = scores[(*fixed, *_overrides(trial.params))]
            study.tell(trial, score, TrialState.FAIL if score is None else TrialState.COMPLETE)


def _distribution(override: Override) -> "BaseDistribution":
    """Convert a sweep of Hydra's grammar to a distribution of Optuna.

    Raises:
        SearchError: the sweep is a range without a step above 0, or of floats.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(sweep := override.value(), RangeSweep):
        values = sweep.range()
        if not isinstance(values, range) or values.step < 1 or not values:
            raise SearchError(f"{override.input_line}: not a range of increasing integers; use interval or a list")
        if "log" in sweep.tags:
            raise SearchError(f"{override.input_line}: a range has no logarithmic scale; use int(interval(…))")
        return IntDistribution(values[0], values[-1], step=values.step)
    if not isinstance(sweep, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, log_scale = sweep.start, sweep.end, "log" in sweep.tags
    try:
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log_scale)
        return FloatDistribution(float(low or 0), float(high or 0), log=log_scale)
    except ValueError as error:
        raise SearchError(f"{override.input_line}: {error}") from error


def _repeat_unfinished(study: "Study", space: Space) -> None:
    """Queue failed and interrupted trials again, unless a trial with the same values is finished or queued."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):  # its process was stopped: the study is locked
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials()
    known = [trial.params for trial in trials if trial.state == TrialState.COMPLETE]
    known += [trial.system_attrs[QUEUED] for trial in trials if trial.state == TrialState.WAITING]
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.params.keys() == space.keys() and trial.params not in known:
            known.append(trial.params)
            study.enqueue_trial(trial.params)


def _count(study: "Study") -> Counter[str]:
    """Number of trials by the name of their state."""
    return Counter(trial.state.name for trial in study.get_trials(deepcopy=False))


def _overrides(params: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]


def _score(job: JobReturn) -> float | None:
    """Score of a job; None if the job failed."""
    return None if job.status == JobStatus.FAILED else job.return_value
