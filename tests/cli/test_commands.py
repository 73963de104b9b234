"""Commands as users run them: train, sweep, evaluate and search."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from fashion_lsh.metrics.code_statistics import CodeStatistics
from fashion_lsh.report.sections.model_card import COMMAND
from fashion_lsh.runs.run import Run
from fashion_lsh.studies import stability
from tests.cli.factories import ROOT, SMALL, read_results, run_gallery, run_script, scores_without_times, write_ids

pytestmark = pytest.mark.train


def test_train_writes_a_complete_run_folder(runs: Path) -> None:
    run = runs / "latest"
    names = "config.yaml environment.json catalogue.parquet skipped.csv stage_keys.json classifier.ckpt hash_head.ckpt"
    names += " gallery nearest_relevant.json signature.json results.parquet queries.parquet metrics.json"
    names += " contact_sheet.png train.log logs report"
    assert {path.name for path in run.iterdir()} == set(names.split())
    headline, results = json.loads((run / "metrics.json").read_text()), read_results(run)
    assert {"classifier/accuracy", "search/item/recall@10", "search/category/map@100", "search/latency_ms",
            "search/end_to_end_ms", "data/gallery/garments"} <= set(headline)  # fmt: skip
    assert headline.items() <= results.flat().items()
    assert results.methods()[0] == ("rerank 1000", "1 list")
    baselines = {"random", "predicted_category", "float", "code", "lsh", "pca", "itq", "rabitq", "int8",
                 "colour_histogram", "raw_pixels"}  # fmt: skip
    assert {method for method, scope in results.methods() if scope == "whole gallery"} == baselines
    statistics = {row.metric for row in results.select(method="code", split="gallery")}
    assert statistics == {*CodeStatistics._fields, "quantisation_error"}
    assert results.value("code", "radius_precision", 2, relevance="category") is not None
    queries = pq.read_table(run / "queries.parquet")
    assert len(queries) == 2 * len(baselines) * headline["data/garments"]  # predicted_category has one scope
    own = queries.filter(pc.equal(queries["method"], "rerank 1000"))
    assert {len(code) for code in own["code"].to_pylist()} == {6}


def test_repeated_train_changes_nothing(runs: Path, shapes: Path) -> None:
    written = [runs / "latest" / name for name in ("metrics.json", "report/index.html")]
    before = [path.stat().st_mtime_ns for path in written]
    printed = run_script("train.py", *SMALL, f"data.root={shapes}", f"runs={runs}")
    assert "**rerank 1000**" in printed
    assert "epoch 1/" not in printed
    assert [path.stat().st_mtime_ns for path in written] == before


def test_command_of_the_model_card_opens_the_same_run(runs: Path) -> None:
    run = (runs / "latest").resolve()
    words = COMMAND.replace("RUN", str(run)).replace("runs=again", f"runs={runs}").split()
    printed = run_script(*words[1:])
    assert "epoch 1/" not in printed
    assert f"Run folder: {run}" in printed


def test_stopped_run_resumes_after_the_last_finished_stage(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    run = tmp_path / "runs" / "latest"
    before = scores_without_times(run)
    for name in ("hash_head.ckpt", "metrics.json"):
        (run / name).unlink()
    printed = run_script("train.py", *SMALL, f"data.root={shapes}", f"runs={tmp_path / 'runs'}")
    assert "Loading the trained classifier" in printed
    assert scores_without_times(run) == pytest.approx(before, abs=1e-6)


def test_another_hash_layer_reuses_the_classifier(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    printed = run_script("train.py", *SMALL, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", "hash=none")
    assert "Reusing classifier.ckpt of" in printed
    assert "**euclidean**" in printed
    assert not (tmp_path / "runs" / "latest" / "hash_head.ckpt").exists()
    report = (tmp_path / "runs" / "latest" / "report" / "report.md").read_text()
    assert "learning-classifier.svg" in report  # the training logs of the classifier were copied, too


def test_documented_service_returns_json_for_an_image(runs: Path, shapes: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/your_own_images.md").read_text()
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "make_server" in block]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "service.py").write_text(code.replace("8000", str(port)))
    run, image = (runs / "latest").resolve(), shapes.parent / "circle-0-street.png"
    expected = Run(run).searcher().search(image)
    command = [sys.executable, str(tmp_path / "service.py"), str(run)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            status, [response] = post(port, image.read_bytes())
            assert (status, response.keys()) == (200, expected.as_dict().keys())
            assert (response["category"], response["runner_up"]) == (expected.category, expected.runner_up)
            assert response["probability"] == pytest.approx(expected.probability, abs=1e-5)
            assert [hit["id"] for hit in response["hits"]] == [hit.id for hit in expected.hits]
            assert post(port, b"text")[0] == 500
            assert post(port, image.read_bytes())[0] == 200
        finally:
            server.terminate()


def post(port: int, content: bytes) -> tuple[int, Any]:
    """Send a POST request, repeated until the server listens; return status and JSON, None after an error."""
    for _ in range(300):
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/", content)
            response = connection.getresponse()
            return response.status, json.loads(response.read()) if response.status == 200 else None
        except ConnectionRefusedError:
            time.sleep(0.2)
    raise TimeoutError(f"no server listens on port {port}")


@pytest.mark.usefixtures("tiny")
def test_sweep_of_two_jobs_creates_two_runs(shapes: Path, tmp_path: Path) -> None:
    run_script("train.py", "-m", *SMALL, f"data.root={shapes}", f"runs={tmp_path}", "hash=none", "seed=0,1")
    assert len(list(tmp_path.glob("main/*/metrics.json"))) == 2
    assert not list(ROOT.glob("multirun*"))


@pytest.mark.usefixtures("tiny")
def test_stability_compares_two_seeds(shapes: Path, tmp_path: Path) -> None:
    words = [f"data.root={shapes}", f"runs={tmp_path / 'runs'}", f"jobs={tmp_path / 'jobs'}", "hash.epochs=1"]
    run_script("train.py", "experiment=stability", *SMALL, *words, "seed=0,1")
    runs = sorted((tmp_path / "runs/stability").glob("[!.]*"))
    jobs = tmp_path / "jobs"
    assert {path.name for path in jobs.iterdir()} == {
        f"{run.name}{suffix}" for run in runs for suffix in (".parquet", ".queries.parquet")
    }
    results = read_results(runs[0])
    corrupted = {row.condition for row in results if row.condition}
    assert corrupted == {f"corruption={name}" for name in ("blur", "jpeg", "noise", "occlusion")}
    assert {"parameters", "flops", "network_ms"} <= {row.metric for row in results.select(method="model")}
    stability.write_study(tmp_path)
    assert "bits changed" in (tmp_path / "README.md").read_text()


def test_evaluate_rejects_an_empty_gallery(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    gallery = Run(run).gallery(Run(run).model().fingerprint())
    ids = write_ids(tmp_path, list(gallery.catalogue.column("id")))
    assert run_gallery(capsys, "remove", run, ids)[0] == 0
    assert "gallery: empty gallery; run `fashion-lsh gallery build`" in run_script(
        "evaluate.py", f"run={run}", status=1
    )


def test_evaluate_does_not_import_the_parts_of_training(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    missing = {"mine": {"_target_": "no_such_module.Mine"}}
    config = yaml.safe_load((run / "config.yaml").read_text())
    groups = {"callbacks": missing, "evaluators": missing}
    (run / "config.yaml").write_text(yaml.safe_dump(config | groups, sort_keys=False))
    run_script("evaluate.py", f"run={run}", "search=hamming", "search.nprobe=2")
    assert ("hamming", "2 lists") in read_results(run).methods()


def test_evaluate_adds_the_scores_of_another_policy(runs: Path, tmp_path: Path) -> None:
    shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    run_script("evaluate.py", f"run={tmp_path / 'run'}", "search=hamming", "search.nprobe=all")
    printed = run_script("evaluate.py", f"run={tmp_path / 'run'}", "search.nprobe=2")
    assert "**rerank 1000**" in printed
    results = read_results(tmp_path / "run")
    hamming, code = (
        results.value(method, "map", 100, relevance="category", scope="whole gallery") for method in ("hamming", "code")
    )
    assert hamming == pytest.approx(code)
    table = pq.read_table(tmp_path / "run" / "queries.parquet")
    methods = set(zip(table["method"].to_pylist(), table["scope"].to_pylist(), strict=True))
    assert methods == set(results.methods())
    assert {("rerank 1000", "1 list"), ("rerank 1000", "2 lists"), ("hamming", "whole gallery")} <= methods
    report = (tmp_path / "run/report/report.md").read_text()
    assert "| hamming | whole gallery |" in re.sub(" +", " ", report)


def test_unreadable_query_images_are_skipped_with_a_message(runs: Path, shapes: Path, tmp_path: Path) -> None:
    image, unreadable = shapes.parent / "circle-0-street.png", tmp_path / "no.jpg"
    unreadable.write_text("not an image")
    words = [runs / "latest", image, unreadable, "--k", 4, "--box", 4, 4, 40, 40, "--sheet", tmp_path / "sheet.png"]
    printed = run_script("search", *words, status=1)
    assert f"skipped {unreadable}" in printed
    assert f"{image}: predicted category " in printed
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_copied_run_returns_the_same_hits_without_images(runs: Path, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree((runs / "latest").resolve(), tmp_path / "copy")
    image = tmp_path / "query.png"
    shutil.copy(shapes.parent / "cross-3-street.png", image)
    original_output, copy_output = (
        run_script("search", run, image, "--nprobe", "all") for run in (runs / "latest", tmp_path / "copy")
    )
    assert original_output == copy_output
    assert len(copy_output.splitlines()) > 5


@pytest.mark.usefixtures("tiny")
def test_unseen_categories_are_evaluated_and_reported(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = [*SMALL, "data.image_size=64", "split=unseen_categories", "split.unseen=[square]", "logger=wandb"]
    printed = run_script("train.py", *words, f"data.root={shapes}", f"runs={tmp_path}")
    assert "Unseen categories, in query and gallery only: square" in printed
    assert "**rerank 1000**" in printed
    assert "query categories are not in the training data" in printed
    assert "top-1" not in printed.partition("**rerank 1000**")[2]
    run = tmp_path / "latest"
    results = read_results(run)
    assert not [row for row in results if row.method == "classifier" and row.split == "query"]
    scores = [results.value("search", metric, 100, relevance="category") for metric in ("map", "macro_map")]
    assert scores == [1, 1]  # all queries are squares
    assert set(pq.read_table(run / "queries.parquet")["predicted"].to_pylist()) <= {"circle", "cross", None}
    report = (run / "report" / "report.md").read_text()
    assert "training 2: circle, cross; unseen (query and gallery) 1: square" in report
    assert report.count("the query categories are not in the training data") == 2
    assert "item recall@10" in run_script("evaluate.py", f"run={run}", "search=hamming", "search.nprobe=all")
    assert "square-" in run_script("search", run, shapes.parent / "square-0-street.png")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hash.bits=0", "hash.bits=0: "),
        ("hash.bits=many", "hash.bits='many'"),
        ("search.nprobe=9", "search.nprobe=9: there are 3 categories"),
        ("data.categories=[circle,star]", "category='star': not in the data; choose from circle, cross, square"),
        ("hash.bitz=3", "bitz"),
        ("data.image_size=16", "data.image_size=16: resnet18 needs at least 32"),
        ("split.ratios.query=0.0", "split 'query': no garments"),
        ("data.root=null", "data=folder needs data.root"),
        ("trainer.devices=999", "trainer.devices=999: this machine has"),
        ("+trainer.num_nodes=2", "trainer.num_nodes=2: start the command on each machine with torchrun or srun"),
        ("+trainer.strategy=fsdp", "trainer.strategy='fsdp'"),
        ("data.root=/nowhere.csv", "/nowhere.csv: no such folder"),
    ],
)
def test_invalid_setting_is_reported_before_training(shapes: Path, tmp_path: Path, override: str, message: str) -> None:
    status = 2 if message == "bitz" else 1  # an unknown key is wrong use
    printed = run_script("train.py", *SMALL, f"data.root={shapes}", f"runs={tmp_path}", override, status=status)
    assert message in printed
    assert "Traceback" not in printed
    assert "epoch 1/" not in printed
    assert not list(tmp_path.glob("*/*/*.ckpt"))


def test_missing_mandatory_argument_is_reported() -> None:
    printed = run_script("evaluate.py", status=1)
    assert "Missing mandatory value: run" in printed
    assert "Traceback" not in printed


def test_scripts_reject_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a run folder" in run_script("search", tmp_path, "image.png", status=1)
    assert f"{tmp_path}: not a run folder" in run_script("evaluate.py", f"run={tmp_path}", status=1)
