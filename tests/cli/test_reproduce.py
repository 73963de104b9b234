"""The command reproduce: what is left of the experiments is found by the commands of their pages."""

import json
import shlex
from pathlib import Path

import pytest

from fashion_lsh import __version__
from fashion_lsh.cli import reproduce
from fashion_lsh.runs.job_file import is_kept
from fashion_lsh.runs.keys import portable

EXPERIMENTS = reproduce.ROOT / "conf" / "experiment"
ALONE = {"demo_detect", "own_pictures", "backbones_gpu"}  # not measured here


def test_each_experiment_stands_on_a_page_that_tells_how_long_it_takes() -> None:
    lines = [line for page in reproduce.pages() for line in page.lines]
    named = {word.partition("=")[2] for line in lines for word in shlex.split(line) if word.startswith("experiment=")}
    assert named == {file.stem for file in EXPERIMENTS.glob("*.yaml")} - ALONE
    assert all(page.minutes > 0 for page in reproduce.pages())


def test_a_page_that_tells_no_minutes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "experiments" / "new" / "README.md"
    page.parent.mkdir(parents=True)
    page.write_text("**Commands.**\n```\npython train.py experiment=new\n```\n")
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"new/README\.md does not tell how long it takes"):
        reproduce.pages()


@pytest.mark.parametrize(
    ("line", "jobs"),
    [
        ("python train.py experiment=demo", ["experiment=demo"]),
        ("python train.py experiment=stability backbone=resnet101 seed=0,1  # two",
         [f"experiment=stability backbone=resnet101 seed={seed} hash=softmax" for seed in (0, 1)]),
        ("python train.py experiment=crops crop=whole",
         [f"experiment=crops crop=whole seed={seed}" for seed in (0, 1, 2)]),
        ("python train.py seed=1 data.categories=[coat,dress]", ["seed=1 data.categories=[coat,dress]"]),
        ("python -m fashion_lsh report experiments/bits", []),
    ],
)  # fmt: skip
def test_a_line_has_a_job_for_each_value_that_it_or_its_experiment_sweeps(line: str, jobs: list[str]) -> None:
    assert [" ".join(words) for words in reproduce.jobs_of(line)] == jobs


def test_a_job_is_left_until_this_version_has_kept_its_scores(tmp_path: Path) -> None:
    settings = reproduce.settings_of(["experiment=demo", "seed=1"])
    other = reproduce.settings_of(["experiment=demo", "seed=2"])

    def kept(folder: str, version: str) -> bool:
        (tmp_path / folder).mkdir(exist_ok=True)
        job = {"settings": portable(settings), "environment": {"fashion-lsh": version}}
        (tmp_path / folder / "1234abcd.json").write_text(json.dumps(job))
        return is_kept({**settings, "runs": "elsewhere", "name": "mine"}, tmp_path / folder)

    assert not is_kept(settings, tmp_path / "none")
    assert not kept("old", "0.0.1")
    assert kept("new", __version__)
    assert not is_kept(other, tmp_path / "new")


def test_a_page_of_photographs_waits_until_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = reproduce.Page(
        tmp_path / "experiments/few", ["python train.py experiment=garments data.root=garments/manifest.csv"], 6, True
    )
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "left", lambda page: (2, 3))
    assert reproduce.plan([page], {}) == [(page, "--garments")]
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["few", "3", "2", "12", "left", "out:", "give", "--garments"]
    assert "About 0.0 hours are left." in printed
    assert reproduce.plan([page], {"garments": "here.csv"}) == [(page, "")]
    assert "About 0.2 hours are left." in capsys.readouterr().out


def test_a_command_that_fails_does_not_stop_the_next(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = ["python -c 'raise SystemExit(3)'", f"python -c 'open(\"{tmp_path}/made\", \"w\")'",
             "echo data.root=garments/manifest.csv"]  # fmt: skip
    failed = reproduce.run(lines, {"garments": "a b.csv"})
    assert failed == lines[:1]
    assert (tmp_path / "made").exists()
    assert "data.root=a b.csv" in capfd.readouterr().out
    assert reproduce.told(failed) == 1
    assert reproduce.told([]) == 0


def test_an_unknown_page_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["bitz"])
    assert "no page 'bitz': give some of backbones, " in capsys.readouterr().err


def test_pictures_that_are_not_there_are_named_before_anything_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        reproduce.main(["--left", "garments", "--garments", "/no/such/manifest.csv"])
    assert "--garments /no/such/manifest.csv: there is no such file or folder" in capsys.readouterr().err


def test_a_job_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "1234abcd.json").write_text('{"settings": ')
    with pytest.raises(ValueError, match=r"1234abcd\.json is damaged .*remove it, and make its run again"):
        is_kept(reproduce.settings_of(["experiment=demo"]), tmp_path)
