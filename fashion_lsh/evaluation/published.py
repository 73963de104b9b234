"""Published evaluation protocols: data set, split, relevance, metric and cutoff ranks, and published scores."""

import csv
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.image_files import ImageFiles, PublishedCounts
from fashion_lsh.evaluation.detected_retrieval import DETECTED_BOXES, DetectedRetrieval
from fashion_lsh.evaluation.evaluator import Evaluator
from fashion_lsh.metrics.results import Column

log = logging.getLogger(__name__)

SCORES_FILE = "published_scores.csv"
SPLIT_SETTINGS = {"leaks": "report", "gallery": "gallery"}  # values that split=official sets in the config node `data`
FILTERS = ("corrections", "categories", "sources", "unseen")  # settings that remove or reassign garments


class PublishedScore(NamedTuple):
    """Published score of a method under a protocol; the score was not computed with this project.

    Attributes:
        protocol: name of the protocol.
        method: name of the method, with the evaluated subset if the protocol has several.
        relevance, metric, k: see Result.
        value: score, 0..1.
        source: publication and table.
        year: year of the publication; "" if not known.
        note: difference from the protocol; "" for none.
    """

    protocol: str
    method: str
    relevance: str
    metric: str
    k: int
    value: float
    source: str
    year: str
    note: str


@dataclass(frozen=True)
class EvaluationProtocol:
    """Published evaluation protocol.

    Attributes:
        name: name of the protocol, the setting `evaluation.protocol`, which `protocol=NAME` sets.
        source: name of the data set, the setting `data.source`.
        scores: relevance, metric and cutoff rank (0: none) of each official score.
        crop: required crop mode; None: any.
        condition: condition of the results of the official scores (see Result).
        evaluators: evaluators of official scores that the standard evaluation does not compute.
    """

    name: str
    source: str
    scores: tuple[tuple[str, str, int], ...]
    crop: str | None = None
    condition: str = ""
    evaluators: Mapping[str, Evaluator] = field(default_factory=dict)

    @property
    def cutoffs(self) -> list[int]:
        """Cutoff ranks of the official scores, ascending."""
        return sorted({k for _, _, k in self.scores if k})

    def columns(self, method: str, scope: str) -> list[Column]:
        """Results of one method that are official scores."""
        return [
            Column(method, metric, k, relevance, condition=self.condition, scope=scope)
            for relevance, metric, k in self.scores
        ]

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Check that the settings do not change the protocol.

        Raises:
            ValueError: data set, split, crop mode or cutoff ranks are not those of the protocol.
        """
        data, prefix = config["data"], f"protocol={self.name}"
        if data["source"] != self.source:
            raise ValueError(
                f"data.source={data['source']!r}: {prefix} evaluates data={self.source}; remove one of the settings"
            )
        for name, value in SPLIT_SETTINGS.items():
            if data.get(name) != value:
                raise ValueError(f"split.{name}={data.get(name)!r}: {prefix} needs {value!r}; set split=official")
        for name in FILTERS:
            if data.get(name) is not None:
                key = "split.unseen" if name == "unseen" else f"data.{name}"
                raise ValueError(f"{key}={data[name]!r}: {prefix} evaluates all garments; remove the setting")
        if self.crop is not None and data["crop"] != self.crop:
            raise ValueError(f"crop.mode={data['crop']!r}: {prefix} needs {self.crop!r}; set crop={self.crop}")
        cutoffs = config["evaluation"]["k"]
        if missing := [k for k in self.cutoffs if k not in cutoffs]:
            raise ValueError(f"evaluation.k={cutoffs}: {prefix} also needs {missing}; add them")

    def check_data(self, data: GarmentData, partial: bool = False) -> None:
        """Check that the published files, queries and gallery are complete.

        Args:
            data: data of the run.
            partial: log incomplete queries or an incomplete gallery instead of raising an error.

        Raises:
            FileNotFoundError: published files are missing; the message names all of them.
            ValueError: numbers of queries or gallery garments differ from the published ones, or no query has a
                relevant garment in the gallery.
        """
        source = data.source
        if isinstance(source, ImageFiles):
            if missing := missing_files(source):
                raise FileNotFoundError(
                    f"data.root={source.root}: missing files of protocol={self.name}: {'; '.join(missing)}; unpack "
                    "them there, or set data.root to their folder"
                )
            if differences := count_differences(data, source.published):
                text = f"protocol={self.name}: incomplete data: {'; '.join(differences)}"
                if not partial:
                    raise ValueError(
                        f'{text}; complete the data (fashion-lsh check {self.source} "{source.root}" lists what is '
                        "missing), or set evaluation.partial=true for scores that are not comparable"
                    )
                log.warning("%s; the scores are not comparable with published scores", text)
        for relevance in dict.fromkeys(relevance for relevance, _, _ in self.scores):
            self._check_relevance(data, relevance)

    def _check_relevance(self, data: GarmentData, relevance: str) -> None:
        names = data.catalogue.column(relevance).astype(str)
        query, gallery = (names[data.catalogue.rows(split)] for split in ("query", "gallery"))
        num_scored = int((np.isin(query, gallery) & (query != "")).sum())
        if not num_scored:
            raise ValueError(
                f"protocol={self.name}: none of {len(query)} queries has a garment of the same {relevance} among the "
                f"{len(gallery)} of the gallery; check the column {relevance} of the data"
            )
        if num_scored < len(query):
            log.warning(
                "protocol=%s: %d of %d queries have a garment of the same %s in the gallery; the others are not scored",
                self.name, num_scored, len(query), relevance,
            )  # fmt: skip


def missing_files(source: ImageFiles) -> list[str]:
    """Required files of the published layout that do not exist: pattern and content of each."""
    missing = [each for each in source.expected if each.status(source.folder) == "missing"]
    return [f"{expected.pattern} ({expected.description})" for expected in missing]


def count_differences(data: GarmentData, published: PublishedCounts | None) -> list[str]:
    """Numbers of queries and gallery garments, or of all, that differ from the published numbers.

    The training split is not compared, because val may be taken from it.
    """
    if published is None:
        return []
    differences = []
    for split in ("query", "gallery", "all"):
        if split not in published.counts:
            continue
        rows = np.arange(len(data.catalogue)) if split == "all" else data.catalogue.rows(split)
        count = len(set(data.catalogue.column("image")[rows])) if published.unit == "images" else len(rows)
        if count != published.counts[split]:
            differences.append(f"{split} has {count:,} of {published.counts[split]:,} {published.unit}")
    return differences


def recalls(relevance: str, *cutoffs: int) -> tuple[tuple[str, str, int], ...]:
    """Recall at cutoff ranks, as official scores."""
    return tuple((relevance, "recall", k) for k in cutoffs)


DEEPFASHION2 = recalls("item", 1, 5, 10, 15, 20)
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        EvaluationProtocol("inshop", "deepfashion_inshop", recalls("item", 1, 10, 20, 30, 40, 50)),
        EvaluationProtocol("consumer2shop", "deepfashion_consumer", recalls("item", 1, 10, 20, 50)),
        EvaluationProtocol("consumer2shop_val", "deepfashion_consumer_val", recalls("item", 1, 10, 20, 50)),
        EvaluationProtocol("deepfashion2", "deepfashion2", DEEPFASHION2, crop="annotated"),
        EvaluationProtocol(
            "deepfashion2_detected",
            "deepfashion2",
            DEEPFASHION2,
            crop="detected",
            condition=DETECTED_BOXES,
            evaluators={"deepfashion2": DetectedRetrieval(tuple(k for _, _, k in DEEPFASHION2))},
        ),
        EvaluationProtocol(
            "lookbench",
            "folder",
            (*recalls("category", 1), *recalls("item", 1, 5, 10, 20), ("item", "ndcg", 5), ("item", "map", 20),
             ("item", "mrr", 0)),
        ),
    )
}  # fmt: skip


def find_protocol(config: Mapping[str, Any]) -> EvaluationProtocol | None:
    """Return the protocol of the setting `evaluation.protocol`, None if not set, and check the other settings.

    Raises:
        ValueError: the name is unknown, or the other settings are not those of the protocol (see `check_config`).
    """
    name = config["evaluation"].get("protocol")
    if name is None:
        return None
    if name not in PROTOCOLS:
        raise ValueError(f"evaluation.protocol={name!r}: unknown; choose from {', '.join(PROTOCOLS)}, or null")
    PROTOCOLS[name].check_config(config)
    return PROTOCOLS[name]


def published_scores(protocol: str) -> list[PublishedScore]:
    """Published scores of a protocol, in the order of the file `published_scores.csv` of this package."""
    with files("fashion_lsh.evaluation").joinpath(SCORES_FILE).open(encoding="utf-8") as file:
        rows = [
            PublishedScore(**row | {"k": int(row["k"]), "value": float(row["value"])})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row.protocol == protocol]
