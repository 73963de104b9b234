"""The reproduce command runs the unfinished jobs of experiments."""

import shlex
import sys
from pathlib import Path

import pytest

from fashion_lsh.cli import reproduce
from fashion_lsh.cli.hydra_app import compose_config
from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.report.page_file import BEGIN
from fashion_lsh.report.page_settings import PageSettings
from fashion_lsh.runs.component_versions import used_versions
from fashion_lsh.runs.job_file import is_saved
from fashion_lsh.runs.keys import canonical_config
from fashion_lsh.runs.result_file import ResultFile, write_results_file

EXPERIMENTS = reproduce.ROOT / "conf" / "experiment"
WITHOUT_PAGE = {
    "demo_detect",
    "own_images",
    "own_images_fine_tuned",
    "backbones_gpu",
    "search_rate_bits",
}  # experiments without a results page

DATA = "fashion_lsh.data.datamodule.GarmentData"


def test_each_experiment_has_a_page_with_a_duration() -> None:
    experiments = reproduce.list_experiments()
    lines = [line for experiment in experiments for line in experiment.settings.commands]
    names = {word.partition("=")[2] for line in lines for word in shlex.split(line) if word.startswith("experiment=")}
    assert names == {file.stem for file in EXPERIMENTS.glob("*.yaml")} - WITHOUT_PAGE
    assert all(experiment.settings.minutes > 0 for experiment in experiments)


def write_page_settings(root: Path, name: str, text: str) -> None:
    """Write page.yaml of an experiment below `root`."""
    folder = root / "experiments" / name
    folder.mkdir(parents=True)
    (folder / "page.yaml").write_text(text)


def test_experiment_without_duration_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page_settings(tmp_path, "new", "commands: [python train.py experiment=new]\n")
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"new/page\.yaml: .*minutes"):
        reproduce.list_experiments()


@pytest.mark.parametrize("experiment", reproduce.list_experiments(), ids=lambda experiment: experiment.name)
def test_page_lists_the_commands_of_page_yaml(experiment: reproduce.Experiment) -> None:
    generated = (experiment.folder / "README.md").read_text().partition(BEGIN)[2]
    commands = "\n".join(["```", *experiment.settings.commands, "```"])
    assert generated.lstrip().startswith("Commands (about ")
    assert commands in generated


@pytest.mark.parametrize(
    ("line", "jobs"),
    [
        ("python train.py experiment=demo", ["experiment=demo"]),
        ("python train.py experiment=stability backbone=resnet101 seed=0,1  # two",
         [f"experiment=stability backbone=resnet101 seed={seed} hash=softmax" for seed in (0, 1)]),
        ("python train.py experiment=crops crop=whole",
         [f"experiment=crops crop=whole seed={seed}" for seed in (0, 1, 2)]),
        ("python train.py seed=1 data.categories=[coat,dress]", ["seed=1 data.categories=[coat,dress]"]),
        ("fashion-lsh train experiment=demo seed=0,1", ["experiment=demo seed=0", "experiment=demo seed=1"]),
        ("fashion-lsh report experiments/bits", []),
    ],
)  # fmt: skip
def test_line_expands_to_one_job_per_swept_value(line: str, jobs: list[str]) -> None:
    assert [" ".join(words) for words in reproduce.expand_jobs(line)] == jobs


def test_job_is_unfinished_until_these_components_save_its_scores(tmp_path: Path) -> None:
    settings = compose_config(["experiment=demo", "seed=1"])
    other = compose_config(["experiment=demo", "seed=2"])

    def save_and_check(folder: str, version: int) -> bool:
        (tmp_path / folder).mkdir(exist_ok=True)
        saved = canonical_config(settings)
        results = ResultTable([], ("hamming", "whole gallery"))
        components = used_versions(saved) | {DATA: version}
        write_results_file(tmp_path / folder / "1234abcd.parquet", ResultFile(results, saved, components, "d0", {}))
        return is_saved({**settings, "runs": "elsewhere", "name": "mine"}, tmp_path / folder)

    assert not is_saved(settings, tmp_path / "none")
    assert not save_and_check("old", 0)
    assert save_and_check("new", used_versions(settings)[DATA])
    assert not is_saved(other, tmp_path / "new")


def test_experiment_is_skipped_if_its_photographs_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = reproduce.Experiment(
        folder=tmp_path / "experiments/few",
        settings=PageSettings(
            commands=("python train.py experiment=garments data.root=garments/manifest.csv",), minutes=6
        ),
    )
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "count_unfinished", lambda experiment: (2, 3))
    assert reproduce.plan([experiment], {}) == [(experiment, "--garments")]
    printed = capsys.readouterr().out
    line = printed.splitlines()[1]
    assert line.split()[:4] == ["few", "3", "2", "12"]
    assert line.endswith("skipped; pass --garments to include it")
    assert "About 0.0 hours remaining." in printed
    assert reproduce.plan([experiment], {"garments": "here.csv"}) == [(experiment, "")]
    assert "About 0.2 hours remaining." in capsys.readouterr().out


def test_failed_command_does_not_stop_the_next(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = ["python -c 'raise SystemExit(3)'", f"python -c 'open(\"{tmp_path}/made\", \"w\")'",
             "echo data.root=garments/manifest.csv"]  # fmt: skip
    failed_lines = reproduce.run(lines, {"garments": "a b.csv"})
    assert failed_lines == lines[:1]
    assert (tmp_path / "made").exists()
    assert "data.root=a b.csv" in capfd.readouterr().out
    assert reproduce.report_failures(failed_lines) == 1
    assert reproduce.report_failures([]) == 0


def test_program_of_the_same_environment_is_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert reproduce.run(["command -v fashion-lsh", "fashion-lsh report --help > /dev/null"], {}) == []
    assert f"\n{Path(sys.executable).with_name('fashion-lsh')}\n" in capfd.readouterr().out


def test_page_yaml_without_commands_is_no_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_page_settings(tmp_path, "a", "commands: [fashion-lsh train seed=1]\nminutes: 5\n")
    write_page_settings(tmp_path, "b/c", "commands: [python train.py seed=1]\nminutes: 0.5\njobs: false\n")
    write_page_settings(tmp_path, "d", "columns: [top-1]\n")
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    assert [experiment.name for experiment in reproduce.list_experiments()] == ["a", "b/c"]


@pytest.mark.parametrize(
    ("results", "unfinished"), [(None, 1), ("gallery,time saved\n", 1), ("gallery,code_version\n1,abc\n", 0)]
)
def test_experiment_without_jobs_is_finished_if_its_results_name_their_code(
    tmp_path: Path, results: str | None, unfinished: int
) -> None:
    if results is not None:
        (tmp_path / "results.csv").write_text(results)
    settings = PageSettings(commands=("python evaluate.py",), minutes=1, jobs=False)
    assert reproduce.count_unfinished(reproduce.Experiment(tmp_path, settings)) == (unfinished, 1)


def test_unknown_experiment_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["bitz"])
    assert "unknown experiment 'bitz'; choose from backbones, " in capsys.readouterr().err


def test_missing_manifest_is_reported_before_jobs_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["--remaining", "garments", "--garments", "/no/such/manifest.csv"])
    assert "--garments /no/such/manifest.csv: not found" in capsys.readouterr().err


def test_damaged_job_file_raises_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "1234abcd.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"1234abcd\.parquet is damaged"):
        is_saved(compose_config(["experiment=demo"]), tmp_path)
