"""Small runs with tiny untrained networks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import SearchEvaluation, encode_split, evaluate
from fashion_lsh.evaluation.query_table import query_table
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import WHOLE_GALLERY, Result, ResultTable, mean_results
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.runs.results import write_results
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.hash_head import HashHead
from tests.models.factories import save

POLICY_DEFAULTS: Any = {"alpha": 0.5, "min_confidence": 0.0, "min_probability": None}
CATEGORIES = ["circle", "cross", "square"]
MODEL_ARGUMENTS = {
    "backbone": "resnet18", "image_size": 32, "margin": 0.1,
    "frozen": False, "epochs": 1, "lr_factor": 1.0, "head_factor": 1.0,
    "label_smoothing": 0.1, "seed": 0,
    "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1},
}  # fmt: skip
HASH_ARGUMENTS = {"bits": 7, "embedding_dim": None, "loss": "softmax", "bihalf": False, "item_weight": 0.0}
RERANK = SearchPolicy("rerank", 1, 1000, **POLICY_DEFAULTS)


def tiny_backbone(name: str, image_size: int = 32) -> Backbone:
    return Backbone(name, nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.AdaptiveAvgPool2d(2), nn.Flatten()), 16, 32)


def set_key(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Copy a config and replace the value of a key such as `hash.bits`."""
    first, _, rest = key.partition(".")
    return {**config, first: {**config[first], rest: value} if rest else value}


def hash_head(seed: int = 0) -> HashHead:
    torch.manual_seed(seed)
    return HashHead(**MODEL_ARGUMENTS, categories=CATEGORIES, **HASH_ARGUMENTS).eval()  # type: ignore[arg-type]


def classifier(seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(**MODEL_ARGUMENTS, categories=CATEGORIES).eval()  # type: ignore[arg-type]


def write_finished_run(config: dict[str, Any], data: GarmentData) -> TrainingRun:
    """Write a finished run with an untrained model."""
    run = TrainingRun.open(config, data)
    save(classifier(), run.path / "classifier.ckpt")
    save(hash_head(), run.path / "hash_head.ckpt")
    encoded_gallery = encode_split(hash_head().model, data, "gallery")
    gallery = Gallery.build(hash_head().model, encoded_gallery.encoded, encoded_gallery.catalogue)
    gallery.save(run.gallery_folder)
    write_results(run, run_evaluation(evaluate_policy(run, data, RERANK), data))
    return run


def run_evaluation(search: SearchEvaluation, data: GarmentData) -> RunEvaluation:
    """Evaluation of a run with scores of its search, and with invented scores of the baselines `code` and `random`."""
    query = data.catalogue.take(data.rows("query"))
    scores = {"category": {("map", 100): np.linspace(0, 1, len(query))}}
    baselines = [Result("map", 0.3, k=100, method="random", scope=WHOLE_GALLERY, relevance="category")]
    items, categories = query.column("item"), query.column("category")
    baselines += mean_results(scores, items, categories, method="code", scope=WHOLE_GALLERY, bits=7)
    tables = [search.queries, query_table(("code", WHOLE_GALLERY), query, scores)]
    own = (search.queries["method"][0].as_py(), search.queries["scope"][0].as_py())
    queries = pa.concat_tables(tables, promote_options="default")
    return RunEvaluation(ResultTable([*search.results, *baselines], own), queries, search.hits, search.gallery)


def evaluate_policy(run: Run, data: GarmentData, policy: SearchPolicy) -> SearchEvaluation:
    """Evaluate a run with another search policy, as evaluate.py does."""
    model = run.model()
    return evaluate(Searcher(model, run.gallery(model.fingerprint()), policy), encode_split(model, data, "query"))


def file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_stage_keys(run: Run) -> dict[str, str]:
    """Keys of stages and data, without the versions of components."""
    content = json.loads((run.path / "stage_keys.json").read_text())
    return {name: key for name, key in content.items() if name != "components"}
