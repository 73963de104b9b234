"""A run's folder: which command finds it again, what is in it, what it takes over from others, and that it travels."""

import json
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import Results, encode_part, evaluate
from fashion_lsh.evaluation.query_scores import unpacked
from fashion_lsh.evaluation.results import write_queries
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.classifier import Classifier
from fashion_lsh.models.hash_head import Hasher
from fashion_lsh.runs.job_file import keep_job, scores_of
from fashion_lsh.runs.results import add_search, write_results
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.stage_cache import prepared
from fashion_lsh.search.policy import Search
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.training.checkpoints import save
from tests.disks import full_disk

PLAIN: Any = {"alpha": 0.5, "whole_below": 0.0}
CATEGORIES = ["circle", "cross", "square"]
STAGE = {
    "backbone": "resnet18", "image_size": 32, "margin": 0.1,
    "frozen": False, "epochs": 1, "lr_factor": 1.0, "head_factor": 1.0,
    "label_smoothing": 0.1, "seed": 0,
    "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1},
}  # fmt: skip
LAYER = {"bits": 7, "embedding_dim": None, "loss": "softmax", "bihalf": False, "item_weight": 0.0}
SHORTLIST = Search("shortlist", 1, 200, **PLAIN)


def tiny_backbone(name: str) -> Backbone:
    return Backbone(name, nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.AdaptiveAvgPool2d(2), nn.Flatten()), 16, 32)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small checkpoints."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.make_backbone", tiny_backbone)


@pytest.fixture
def data(make_data: Callable[..., GarmentData]) -> GarmentData:
    return make_data()


@pytest.fixture
def settings(tmp_path: Path, drawn: Path) -> dict[str, Any]:
    """As train.py has them, in plain values."""
    return {
        "name": "test", "seed": 0, "fresh": False, "jobs": None, "runs": str(tmp_path / "runs"),
        "backbone": {"name": "resnet18", "weights": None},
        "data": {"source": "folder", "root": str(drawn), "split_seed": 0, "workers": 0, "image_size": 32,
                 "crop": "annotated"},
        "detector": None, "scenes": None,
        "classifier": dict(STAGE),
        "hash": {"_target_": "fashion_lsh.models.hash_head.Hasher", **STAGE, **LAYER},
        "search": {"distance": "shortlist", "probes": 1, "shortlist": 200, **PLAIN},
        "trainer": {"accelerator": "cpu"}, "logger": {"project": None, "tags": []},
    }  # fmt: skip


def changed(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {**settings, first: {**settings[first], rest: value} if rest else value}


def hasher(seed: int = 0) -> Hasher:
    torch.manual_seed(seed)
    return Hasher(**STAGE, categories=CATEGORIES, **LAYER).eval()  # type: ignore[arg-type]


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(**STAGE, categories=CATEGORIES).eval()  # type: ignore[arg-type]


def finished(settings: dict[str, Any], data: GarmentData) -> Run:
    """A run as train.py leaves it, with a model that has learnt nothing."""
    run = Run.begin(settings, data)
    save(classifier(), run.path / "classifier.ckpt")
    save(hasher(), run.path / "hasher.ckpt")
    gallery = encode_part(hasher(), data, "gallery")
    filed = Gallery.filed(hasher(), gallery.encoded, gallery.catalogue)
    filed.save(run.gallery_folder)
    query = encode_part(hasher(), data, "query")
    kept = {"rows/code/category/map@100": np.linspace(0, 1, len(query.catalogue), dtype=np.float32)}
    results = searched(run, data, SHORTLIST)
    write_results(run, query, filed, results, {"rows/random/category/map@100": 0.3}, kept)
    return run


def searched(run: Run, data: GarmentData, search: Search) -> Results:
    model = run.model()
    return evaluate(Searcher(model, run.gallery(model.fingerprint()), search), encode_part(model, data, "query"))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def keys(run: Run) -> dict[str, str]:
    return dict(json.loads((run.path / "stages.json").read_text()))


def test_the_same_command_finds_the_same_folder(
    settings: dict[str, Any], make_data: Callable[..., GarmentData]
) -> None:
    run = Run.begin(settings, make_data())
    save(hasher(), run.path / "hasher.ckpt")
    again = Run.begin(json.loads(json.dumps(settings)), make_data())
    assert again.path == run.path
    assert again.path.parent == Path(settings["runs"]) / "test"
    assert len(again.path.name) == 8
    assert (again.path / "hasher.ckpt").exists()


def test_the_curves_of_a_stage_that_is_taken_over_are_kept_and_shown(
    settings: dict[str, Any], data: GarmentData
) -> None:
    other = finished(settings, data)
    logs = other.path / "logs/version_0/metrics.csv"
    logs.parent.mkdir(parents=True)
    logs.write_text(
        "classifier/val/loss,epoch,hasher/train/loss,hasher/val/loss,step\n,0,2.5,,9\n,0,,1.5,19\n1.0,0,,,19\n"
    )
    run = Run.begin(changed(changed(settings, "search.probes", 2), "name", "second"), data)
    shown: list[dict[str, float]] = []
    prepared(hasher(1), run, shown.append)
    assert shown == [
        {"epoch": 0.0, "hasher/train/loss": 2.5, "trainer/global_step": 9.0},
        {"epoch": 0.0, "hasher/val/loss": 1.5, "trainer/global_step": 19.0},
    ]
    kept = (run.path / "logs/version_0/metrics.csv").read_text().split()
    assert kept == ["epoch,hasher/train/loss,hasher/val/loss,step", "0,2.5,,9", "0,,1.5,19"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.weights", "imagenet"), ("classifier.lr_factor", 2),
     ("hash.bits", 8), ("hash", None), ("search.probes", "all"), ("trainer.accelerator", "gpu")],
)  # fmt: skip
def test_another_setting_makes_another_folder(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData
) -> None:
    assert Run.begin(changed(settings, key, value), data).path != Run.begin(settings, data).path


def test_another_split_or_version_makes_another_folder_and_other_stages(
    settings: dict[str, Any], make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, split = Run.begin(settings, make_data()), Run.begin(settings, make_data(split_seed=1))
    monkeypatch.setattr("fashion_lsh.runs.keys.__version__", "99")
    version = Run.begin(settings, make_data())
    assert len({first.path, split.path, version.path}) == 3
    assert all(len({keys(run)[stage] for run in (first, split, version)}) == 3 for stage in ("classifier", "hasher"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("fresh", True),
        ("logger.project", "mine"),
        ("data.workers", 4),
        ("jobs", "somewhere"),
        ("data.root", "elsewhere"),
    ],
)
def test_what_changes_no_result_changes_no_name(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the folder of jobs is made
    one, other = Run.begin(settings, data), Run.begin(changed(settings, key, value), data)
    assert one.path.name == other.path.name
    assert keys(one) == keys(other)


def test_other_pixels_in_files_of_the_same_names_make_another_folder(
    settings: dict[str, Any], make_data: Callable[..., GarmentData], drawn: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(drawn.parent, tmp_path / "copy")) / drawn.name
    before = Run.begin(settings, make_data(root=str(copy)))
    assert before.path == Run.begin(settings, make_data()).path
    Image.new("RGB", (48, 48)).save(copy.parent / "circle-0-shop.png")
    assert Run.begin(settings, make_data(root=str(copy))).path != before.path


def test_a_job_file_keeps_the_scores_when_the_folder_is_gone(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished(settings, data)
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = Run.begin(settings, data)  # finished before a folder for jobs was named
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert job.name == f"{run.path.name}.json"
    assert job.stat().st_size < 50_000
    kept = json.loads(job.read_text())
    assert kept["metrics"] == run.metrics == scores_of(run)
    assert str(tmp_path) not in job.read_text()
    shutil.rmtree(run.path)
    again = Run.begin(settings, data)
    assert again.metrics == {}
    with caplog.at_level(logging.INFO):
        assert scores_of(again) == kept["metrics"]
    assert again.closing.startswith(f"{again.path} has no model, the scores are those that are kept: type its train.py")
    with pytest.raises(FileNotFoundError, match=r"type its train\.py command again, with fresh=true"):
        again.check_finished()
    assert f"scores read from {job}" in caplog.text
    assert scores_of(Run.begin({**settings, "fresh": True}, data)) == {}
    assert scores_of(Run.begin({**settings, "jobs": None}, data)) == {}


def test_a_place_for_scores_that_takes_no_files_is_found_before_anything_is_written(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    (tmp_path / "jobs").write_text("no folder")
    with pytest.raises(OSError, match=r"jobs takes no files \(File exists\): choose another folder"):
        Run.begin({**settings, "jobs": str(tmp_path / "jobs")}, data)
    assert not Path(settings["runs"]).exists()


def test_a_log_on_a_full_disk_is_named(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    said = r"train\.log could not be written \(File too large\): free some space"
    with full_disk(0), pytest.raises(OSError, match=said), run.logged():
        logging.getLogger("fashion_lsh").warning("something")
    with run.logged():
        logging.getLogger("fashion_lsh").warning("all is well again")
    assert "all is well again" in (run.path / "train.log").read_text()


def test_a_failure_is_kept_in_the_log_and_raised(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    with pytest.raises(RuntimeError, match="the power went out"), run.logged():
        raise RuntimeError("the power went out")
    assert "RuntimeError: the power went out" in (run.path / "train.log").read_text()


def test_the_closing_line_counts_what_was_left_out(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    run.write_json("metrics.json", {"query/count": 3})
    assert run.closing == f"The run lies in {run.path}"
    run.add_skipped({"a": "no such file", 'b, "c"\nd': "cut short"})
    run.add_skipped({"a": "no such file"})  # named before
    assert run.closing == (f"The run lies in {run.path}; 2 garments were left out: {run.path / 'skipped.csv'} says why")


def test_data_that_have_changed_are_refused(
    settings: dict[str, Any], data: GarmentData, make_data: Callable[..., GarmentData]
) -> None:
    run = Run.begin(settings, data)
    run.check_data(make_data())
    with pytest.raises(ValueError, match="have changed since it was made: make a new run"):
        run.check_data(make_data(split_seed=1))
    other = make_data()
    other.checksum = other.catalogue.checksum + "of other pixels in files of the same names"
    with pytest.raises(ValueError, match="have changed since it was made: make a new run"):
        run.check_data(other)
    (run.path / "stages.json").write_text("{")
    with pytest.raises(ValueError, match=r"stages\.json is damaged .*: make the run again, with fresh=true"):
        run.check_data(make_data())


def test_a_run_that_another_process_makes_is_left_alone(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    with run.logged(), pytest.raises(ValueError, match="is in use by another process"):
        Run.begin({**settings, "jobs": str(run.path.parent / "jobs")}, data)
    assert run.config["jobs"] == settings["jobs"]
    with run.logged(), pytest.raises(ValueError, match="is in use by another process"), run.logged():
        pytest.fail("two had it")
    assert "failed" not in (run.path / "train.log").read_text()


def test_a_damaged_list_of_what_was_left_out_is_named(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    (run.path / "skipped.csv").write_text("id,reason\nalone\n")
    with pytest.raises(ValueError, match=r"skipped\.csv is damaged .*: remove it, then go on"):
        run.add_skipped({"a": "no such file"})
    (run.path / "skipped.csv").unlink()
    run.add_skipped({"a": "no such file"})
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", "a,no such file"]


def test_the_run_s_own_search_is_added_only_where_the_gallery_has_changed(
    settings: dict[str, Any], data: GarmentData
) -> None:
    run = finished(settings, data)
    again = searched(run, data, run.search)
    before = run.metrics, pq.read_table(run.path / "queries.parquet")
    assert not add_search(run, run.search.label, again)
    assert (run.metrics, pq.read_table(run.path / "queries.parquet")) == before
    grown = again._replace(metrics={**again.metrics, "query/gallery_rows": 99.0})
    assert add_search(run, run.search.label, grown)
    table = pq.read_table(run.path / "queries.parquet")
    assert set(table["search"].to_pylist()) == {run.search.label, f"{run.search.label}@99"}
    assert run.metrics[f"rows/{run.search.label}@99/gallery_rows"] == 99
    assert run.metrics["query/gallery_rows"] == before[0]["query/gallery_rows"]


def test_the_order_of_settings_changes_no_name(settings: dict[str, Any], data: GarmentData) -> None:
    turned = {name: settings[name] for name in reversed(settings)}
    assert Run.begin(turned, data).path == Run.begin(settings, data).path


@pytest.mark.parametrize(
    ("key", "value", "differing"),
    [("seed", 1, {"classifier", "hasher"}), ("data.image_size", 64, {"classifier", "hasher"}),
     ("classifier.epochs", 2, {"classifier", "hasher"}), ("trainer.accelerator", "gpu", {"classifier", "hasher"}),
     ("backbone.weights", "imagenet", {"classifier", "hasher"}), ("hash.bits", 8, {"hasher"}),
     ("search.probes", 2, set())],
)  # fmt: skip
def test_a_stage_depends_on_what_made_it_alone(
    key: str, value: Any, differing: set[str], settings: dict[str, Any], data: GarmentData
) -> None:
    one, other = keys(Run.begin(settings, data)), keys(Run.begin(changed(settings, key, value), data))
    assert {stage for stage in one if one[stage] != other[stage]} == differing


def test_other_weights_in_a_file_of_the_same_name_make_another_folder_and_other_stages(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    file = tmp_path / "some.pt"
    settings = changed(settings, "backbone.weights", str(file))
    found = []
    for content in (b"one", b"two", b"one"):
        file.write_bytes(content)
        found.append(Run.begin(settings, data))
    assert found[0].path == found[2].path != found[1].path
    assert all(keys(found[0])[stage] != keys(found[1])[stage] for stage in ("classifier", "hasher"))


@pytest.mark.parametrize("name", ["latest", "", "..", ".", "a/b", "/a"])
def test_a_name_that_is_no_folders_is_refused(name: str, settings: dict[str, Any], data: GarmentData) -> None:
    with pytest.raises(ValueError, match=f"name='{name}': give the name of one folder"):
        Run.begin(changed(settings, "name", name), data)
    assert not Path(settings["runs"]).exists()


def test_the_latest_run_is_linked_by_a_relative_path(settings: dict[str, Any], data: GarmentData) -> None:
    first = Run.begin(settings, data)
    second = Run.begin(changed(settings, "seed", 1), data)
    link = Path(settings["runs"]) / "latest"
    assert link.resolve() == second.path.resolve()
    assert not link.readlink().is_absolute()
    Run.begin(settings, data)
    assert link.resolve() == first.path.resolve()
    assert files(Path(settings["runs"])) == {"latest", "test"}


def test_a_begun_run_says_what_was_asked_and_where(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GarmentData, "skipped", property(lambda self: {"a,1": 'too "dark"'}))
    run = Run.begin(settings, data)
    assert files(run.path) == {"config.yaml", "stages.json", "environment.json", "skipped.csv", "split.parquet"}
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == settings == run.config
    assert set(keys(run)) == {"classifier", "hasher", "data"}
    assert (run.path / "skipped.csv").read_text().splitlines() == ["id,reason", '"a,1","too ""dark"""']
    assert Catalogue.open(run.path / "split.parquet").checksum == data.catalogue.checksum
    assert run.metrics == {}


def test_the_environment_is_that_of_the_machine_that_made_the_figures(
    settings: dict[str, Any], data: GarmentData
) -> None:
    run = finished(settings, data)
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["torch"] == torch.__version__.partition("+")[0]
    assert environment["threads"] == torch.get_num_threads()
    assert {"python", "processor", "platform", "cores", "gpu", "fashion-lsh", "faiss-cpu"} <= set(environment)
    run.write_json("environment.json", {"processor": "of another machine"})
    Run.begin(settings, data)
    assert json.loads((run.path / "environment.json").read_text()) == {"processor": "of another machine"}


def test_a_finished_run_has_its_codes_queries_and_scores(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        query, gallery = (encode_part(hasher(), data, part) for part in ("query", "gallery"))
        assert np.array_equal(arrays["query_codes"], query.encoded.codes)
        assert np.array_equal(arrays["gallery_codes"], gallery.encoded.codes)
        assert arrays["query_ids"].tolist() == query.catalogue.column("id").tolist()
        assert arrays["gallery_ids"].tolist() == gallery.catalogue.column("id").tolist()
    assert pq.read_table(run.path / "queries.parquet")["id"].to_pylist() == query.catalogue.column("id").tolist()
    assert run.metrics["rows/random/category/map@100"] == 0.3
    assert run.metrics["query/count"] == len(query.catalogue)


def test_scores_of_each_query_are_kept_and_their_means_are_the_metrics(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = finished(settings, data)
    with np.load(run.path / "scores.npz", allow_pickle=False) as arrays:
        scores = dict(arrays)
    own = {"query/accuracy", "query/category/map@100", "query/item/map@100", "query/item/recall@10"}
    assert set(scores) == own | {"rows/code/category/map@100"}
    assert all(values.dtype == np.float32 and len(values) == run.metrics["query/count"] for values in scores.values())
    for name in own:
        assert np.nanmean(scores[name]) == pytest.approx(run.metrics[name], abs=1e-6)
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    kept = unpacked(json.loads(job.read_text())["queries"])
    assert set(kept.scores) == set(scores)
    for name, values in scores.items():
        assert kept.scores[name] == pytest.approx(values, abs=1e-5, nan_ok=True)
    items = data.catalogue.take(data.rows("query")).column("item")
    assert np.array_equal(items[kept.groups], items)


def test_a_run_that_kept_no_scores_of_queries_has_a_job_without(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = finished(settings, data)
    (run.path / "scores.npz").unlink()
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert "queries" not in json.loads(job.read_text())


def test_scores_are_written_last(settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("fashion_lsh.runs.results.write_queries", full)
    with pytest.raises(OSError, match="no space"):
        finished(settings, data)
    assert Run.begin(settings, data).metrics == {}


def test_a_run_without_a_hash_layer_is_answered_by_its_classifier(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(changed(settings, "hash", None), data)
    save(classifier(), run.path / "classifier.ckpt")
    assert isinstance(run.model(), Classifier)
    gallery, query = (encode_part(classifier(), data, part) for part in ("gallery", "query"))
    filed = Gallery.filed(classifier(), gallery.encoded, gallery.catalogue)
    filed.save(run.gallery_folder)
    write_results(run, query, filed, searched(run, data, Search("euclidean", 1, 200, **PLAIN)), {}, {})
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"query_ids", "gallery_ids"}


@pytest.mark.parametrize("group", ["backbone", "search", "hash"])
def test_settings_that_lack_a_group_are_damaged(group: str, settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    left = {name: value for name, value in run.config.items() if name != group}
    (run.path / "config.yaml").write_text(yaml.safe_dump(left))
    with pytest.raises(ValueError, match=rf"config\.yaml is damaged \(it has no {group}\): remove it, and type"):
        _ = run.config


def test_a_folder_that_is_no_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=r"is no run: it has no config\.yaml; give a folder that train\.py"):
            Run(path)


def test_what_an_unfinished_run_lacks_is_named_with_the_way_out(settings: dict[str, Any], data: GarmentData) -> None:
    run, way_out = Run.begin(settings, data), r"type (its|the run's) train\.py command again"
    with pytest.raises(FileNotFoundError, match=rf"no checkpoint at .*hasher\.ckpt.*{way_out}"):
        run.model()
    with pytest.raises(FileNotFoundError, match=rf"no gallery in .*{way_out}"):
        run.gallery(hasher().fingerprint())
    with pytest.raises(FileNotFoundError, match=rf"has no metrics\.json: {way_out}"):
        add_search(run, "hamming_all", Results({"query/count": 1}, pa.table({"search": ["hamming_all"]}), None))  # type: ignore[arg-type]
    assert run.metrics == {}
    assert not (run.path / "queries.parquet").exists()


def test_a_stage_that_another_run_finished_is_taken_over_and_is_its_own(
    settings: dict[str, Any], data: GarmentData, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = finished(settings, data)
    run = Run.begin(changed(changed(settings, "search.probes", 2), "name", "second"), data)
    stage = hasher(1)
    assert prepared(stage, run) is stage
    assert "hasher: the same settings were used in" in caplog.text
    assert (run.path / "hasher.ckpt").read_bytes() == (other.path / "hasher.ckpt").read_bytes()
    assert not (run.path / "classifier.ckpt").exists()
    shutil.rmtree(other.path)
    assert run.model().fingerprint() == hasher().fingerprint()


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("data.image_size", 64), ("backbone.name", "resnet34"), ("backbone.weights", None),
     ("classifier.lr_factor", 1), ("hash.bits", 8), ("trainer.accelerator", "gpu"), ("fresh", True)],
)  # fmt: skip
def test_a_stage_is_not_taken_over_where_anything_that_matters_differs(
    key: str, value: Any, settings: dict[str, Any], data: GarmentData
) -> None:
    finished(changed(settings, "backbone.weights", "some.pt"), data)
    settings = changed(changed(settings, "backbone.weights", "some.pt"), "name", "second")
    run = Run.begin(changed(settings, key, value), data)
    prepared(hasher(), run)
    assert not (run.path / "hasher.ckpt").exists()


def test_a_stage_of_another_split_is_not_taken_over(
    settings: dict[str, Any], make_data: Callable[..., GarmentData]
) -> None:
    finished(settings, make_data())
    run = Run.begin(settings, make_data(split_seed=1))
    prepared(hasher(), run)
    assert not (run.path / "hasher.ckpt").exists()


def test_remains_of_a_run_that_was_deleted_stop_no_other(settings: dict[str, Any], data: GarmentData) -> None:
    other = finished(settings, data)
    (other.path / "config.yaml").unlink()
    run = Run.begin(changed(settings, "name", "second"), data)
    prepared(hasher(), run)
    assert run.model().fingerprint() == hasher().fingerprint()


def test_a_stage_of_the_runs_own_is_left_alone(settings: dict[str, Any], data: GarmentData) -> None:
    finished(settings, data)
    run = Run.begin(changed(settings, "name", "second"), data)
    save(hasher(5), run.path / "hasher.ckpt")
    prepared(hasher(), run)
    assert run.model().fingerprint() == hasher(5).fingerprint()


def test_only_a_classifier_that_is_still_to_be_fitted_gets_the_weights_of_the_settings(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "fashion_lsh.models.crop_model.load_weights", lambda trunk, weights: asked.append((trunk, weights))
    )
    run = Run.begin(changed(settings, "backbone.weights", "some.pt"), data)
    stage = prepared(classifier(), run)
    assert asked == [(stage.backbone, "some.pt")]
    prepared(hasher(), run)
    save(stage, run.path / "classifier.ckpt")
    prepared(classifier(), run)
    assert len(asked) == 1


def test_fresh_starts_over_and_deletes_its_own_folder_alone(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    run, sibling = finished(settings, data), finished(changed(settings, "seed", 1), data)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("mine")
    (run.path / "link").symlink_to(outside)
    before = {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    again = Run.begin(changed(settings, "fresh", True), data)
    assert again.path == run.path
    assert files(run.path) == {"config.yaml", "stages.json", "environment.json", "skipped.csv", "split.parquet"}
    assert (outside / "kept.txt").read_text() == "mine"
    assert before == {path: path.read_bytes() for path in sibling.path.rglob("*") if path.is_file()}
    assert files(Path(settings["runs"])) == {"latest", "test"}


def rows(label: str, *values: float, **columns: list[Any]) -> pa.Table:
    return pa.table({"search": [label] * len(values), "score": list(values), **columns})


def test_rows_of_a_search_take_the_place_of_older_ones_of_the_same(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    for table in (rows("a", 1, 2), rows("b", 3), rows("a", 4), rows("b", 5, 6)):
        write_queries(run.path / "queries.parquet", table)
    table = pq.read_table(run.path / "queries.parquet")
    assert table["search"].to_pylist() == ["a", "b", "b"]
    assert table["score"].to_pylist() == [4, 5, 6]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    written=st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=1, max_size=3)), max_size=6)
)
def test_the_rows_that_are_left_are_the_last_of_each_search(
    tmp_path: Path, written: list[tuple[str, list[int]]]
) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "queries.parquet").unlink(missing_ok=True)
    last: dict[str, list[int]] = {}
    for label, values in written:
        write_queries(tmp_path / "queries.parquet", rows(label, *values))
        last[label] = values
        table = pq.read_table(tmp_path / "queries.parquet").to_pylist()
        found = {name: [row["score"] for row in table if row["search"] == name] for name in last}
        assert found == last
        assert len(table) == sum(map(len, last.values()))


def test_searches_with_other_columns_stand_side_by_side(settings: dict[str, Any], data: GarmentData) -> None:
    run = Run.begin(settings, data)
    write_queries(run.path / "queries.parquet", rows("a", 1, item=["x"]))
    write_queries(run.path / "queries.parquet", rows("b", 2))
    assert pq.read_table(run.path / "queries.parquet")["item"].to_pylist() == ["x", None]


def test_another_search_stands_beside_the_runs_own(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    own = run.metrics
    for _ in range(2):
        add_search(run, "hamming_all", results := searched(run, data, Search("hamming", "all", 200, **PLAIN)))
    added = {name: value for name, value in run.metrics.items() if name not in own}
    assert own.items() <= run.metrics.items()
    assert added["rows/hamming_all/category/map@100"] == results.metrics["query/category/map@100"]
    assert added["rows/hamming_all/search_ms"] == results.metrics["speed/search_ms"]
    assert all(name.startswith("rows/hamming_all/") for name in added)
    labels = pq.read_table(run.path / "queries.parquet")["search"].to_pylist()
    count = len(data.rows("query"))
    assert labels == ["shortlist200_1"] * count + ["hamming_all"] * count


def test_what_was_added_goes_with_the_model_it_was_added_to(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    add_search(run, "hamming_all", searched(run, data, Search("hamming", "all", 200, **PLAIN)))
    (run.path / "metrics.json").unlink()  # as the way out of a damaged file says; train.py then fits and scores anew
    finished(settings, data)
    assert set(pq.read_table(run.path / "queries.parquet")["search"].to_pylist()) == {"shortlist200_1"}


def test_scores_are_never_seen_half_written(settings: dict[str, Any], data: GarmentData) -> None:
    run, seen, done = Run.begin(settings, data), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(run.metrics))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        run.write_json("metrics.json", {f"query/{number}": 0.1 for number in range(5000)})
    done.set()
    reader.join()
    assert set(seen) <= {0, 5000}
    assert 5000 in [*seen, len(run.metrics)]


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.begin(settings, data)
    run.write_json("metrics.json", {"query/count": 1.0})
    before = files(run.path)

    def half(self: Path, text: str) -> None:
        self.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match=r"metrics\.json could not be written \(No space left on device\)"):
        run.write_json("metrics.json", {"query/count": 2.0})
    assert run.metrics == {"query/count": 1.0}
    assert files(run.path) == before


def test_a_failure_is_told_in_the_runs_log(settings: dict[str, Any], data: GarmentData) -> None:
    run, handlers = Run.begin(settings, data), list(logging.getLogger().handlers)

    def work() -> None:
        logging.getLogger("fashion_lsh.test").warning("so far so good")
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError), run.logged():
        work()
    text = (run.path / "train.log").read_text()
    assert "WARNING fashion_lsh.test: so far so good" in text
    assert f"ERROR fashion_lsh.runs.log: failed: {run.path}" in text
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: by nothing" in text
    assert logging.getLogger().handlers == handlers


def test_the_log_of_a_run_grows_and_holds_its_own_alone(settings: dict[str, Any], data: GarmentData) -> None:
    run, log = Run.begin(settings, data), logging.getLogger("fashion_lsh.test")
    with run.logged():
        log.warning("first")
    log.warning("between")
    with run.logged():
        log.warning("second")
    lines = (run.path / "train.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "second"]


def test_a_run_that_was_copied_elsewhere_answers_the_same(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    run = finished(settings, data)
    before = searched(run, data, SHORTLIST)
    home = shutil.copytree(run.path, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(settings["runs"])
    copy = Run(home)
    after = searched(copy, data, SHORTLIST)
    assert np.array_equal(before.hits.rows, after.hits.rows)
    assert np.array_equal(before.hits.distances, after.hits.distances)
    assert copy.metrics["query/category/map@100"] == after.metrics["query/category/map@100"]
    assert copy.config == settings
    picture = data.catalogue.column("picture")[0]
    assert np.array_equal(copy.source().picture(picture), data.source.picture(picture))


def test_no_file_of_a_run_knows_where_the_run_lies(settings: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    run = finished(settings, data)
    paths = [path for path in run.path.rglob("*") if path.is_file()]
    knowing = [path.name for path in paths if str(tmp_path).encode() in path.read_bytes()]
    assert knowing == ["config.yaml"]  # as it was typed: where runs go
