"""Choose hash stage, code length and search for a run, or for your own images, within bytes and milliseconds.

Encodes a sample of train and val once, fits codes on the features, measures their searches on val, and prints those
that no other one exceeds in score, bytes and time. Bytes are those of code, id and embedding in a gallery; milliseconds
are those of the search with one query, without the network. Writes advice.svg, candidates.csv and an experiment file
with the best candidate within the budget. For images, each encoder with weights on this machine is tried.

examples:
  fashion-lsh advise runs/latest --bytes 32 --ms 5
  fashion-lsh advise photos --backbone efficientnet_lite0 --relevance category
  fashion-lsh train --config-dir advice experiment=advice
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_lsh.cli.command import PROGRAM, add_trust, create_parser, finite_float, positive_int, report_errors

if TYPE_CHECKING:
    from fashion_lsh.cli.advice_config import TrainSettings
    from fashion_lsh.cli.advice_encoders import Encoder
    from fashion_lsh.evaluation.advice import Budget, Candidate
    from fashion_lsh.evaluation.advice_sample import Sample

log = logging.getLogger(__name__)

STAGES = ("softmax", "lsh", "pca", "itq")
ITEM_STAGES = ("item_lda", "item_contrast")  # distinguish the items of a category
PILOT_BITS = 64  # code length at which all stages are compared
MAX_EPOCHS = 10  # of the softmax layer without --all


@report_errors("advise")
def main(argv: Sequence[str] | None = None) -> int:
    """Measure candidates, print the Pareto front, write figure, table and experiment file."""
    parser = build_parser()
    args = parser.parse_args(argv)
    from fashion_lsh.cli.advice_encoders import is_run, open_images, open_run
    from fashion_lsh.cli.hydra_app import quiet_libraries
    from fashion_lsh.evaluation.advice import Budget

    if is_run(args.source) and args.backbone:
        parser.error("--backbone: a run has an encoder; pass a folder of images, or omit the option")
    quiet_libraries()
    for name in ("fashion_lsh.training", "fashion_lsh.models.crop_model"):  # lines per epoch, warnings per fit
        logging.getLogger(name).setLevel(logging.ERROR)
    open_source = partial(open_run, trust=args.trust) if is_run(args.source) else partial(open_images, args.backbone)
    encoders = open_source(args.source, args.out / "features", args.sample, args.relevance)
    budget = Budget(args.bytes, args.ms)
    settings, sample, candidates = _measure(encoders, budget, args.rows, args.all)
    return _report(settings, sample, candidates, budget, args.out)


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("advise", __doc__)
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="run folder, folder of images, or manifest (.csv, .parquet)"
    )
    parser.add_argument("--bytes", type=positive_int, default=32, help="bytes per garment (default: 32)")
    parser.add_argument("--ms", type=positive_float, default=5.0, help="milliseconds per query (default: 5)")
    parser.add_argument("--relevance", choices=("item", "category"),
                        help="score: item recall@10, or category precision@10 (default: item, if known)")  # fmt: skip
    parser.add_argument("--rows", type=positive_int, metavar="N",
                        help="gallery rows of the timed searches (default: the gallery of the data)")  # fmt: skip
    parser.add_argument("--sample", type=positive_int, default=5000, metavar="N",
                        help="images to encode (default: 5000)")  # fmt: skip
    parser.add_argument("--backbone", metavar="NAME",
                        help="only this encoder, for example efficientnet_lite0 or timm/convnext_tiny")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("advice"), metavar="FOLDER",
                        help="folder to write to (default: advice)")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="try all stages at all lengths, with all epochs (slow)")
    add_trust(parser)
    return parser


def positive_float(text: str) -> float:
    """Parse an argument that is a number above 0."""
    if (number := finite_float(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: not above 0; pass a positive number")
    return number


def _measure(
    encoders: Iterator[Encoder], budget: Budget, num_rows: int | None, is_full: bool
) -> tuple[dict[str, TrainSettings], Sample, list[Candidate]]:
    """Measure the candidates of all encoders; return settings by name of the encoder, sample and candidates."""
    from fashion_lsh.evaluation.advice import search_methods
    from fashion_lsh.evaluation.advice_fits import lengths_within

    opened = list(encoders)
    sample = opened[0].sample
    stages = STAGES + (ITEM_STAGES if sample.name == "item" else ())
    measures = {(encoder.name, stage): _measure_stage(encoder, stage, budget, num_rows, is_full)
                for encoder in opened for stage in stages}  # fmt: skip
    lengths = lengths_within(budget.num_bytes, is_full)
    candidates = search_methods(
        list(measures), lengths, lambda method, bits: measures[method](bits), budget, PILOT_BITS, is_full
    )
    return {encoder.name: encoder.settings for encoder in opened}, sample, candidates


def _measure_stage(
    encoder: Encoder, stage: str, budget: Budget, num_rows: int | None, is_full: bool
) -> Callable[[int], list[Candidate]]:
    """Function of a code length that fits the stage and measures its searches; no candidates if it cannot be fitted."""
    from fashion_lsh.evaluation.advice_fits import measure_searches
    from fashion_lsh.training.feature_fits import fit_code

    settings, config = encoder.settings.hash_settings(stage), encoder.settings.config
    trainer = config["trainer"] if is_full else {**config["trainer"], "lr_grid": None}
    if stage == "softmax" and not is_full:
        settings["epochs"] = min(settings["epochs"], MAX_EPOCHS)

    def measure(bits: int) -> list[Candidate]:
        try:
            model = fit_code(encoder.classifier, encoder.data, settings, bits, config["seed"], **trainer)
        except ValueError as error:
            log.warning("Skipped %s, %s, %d bits: %s", encoder.name, stage, bits, error)
            return []
        rows = num_rows or encoder.gallery_size
        return measure_searches(model, encoder.data, encoder.sample, budget.num_bytes, rows, (encoder.name, stage))

    return measure


def _report(
    settings: dict[str, TrainSettings], sample: Sample, candidates: Sequence[Candidate], budget: Budget, out: Path
) -> int:
    """Print the Pareto front, write the files, and return the exit status.

    Raises:
        ValueError: there is no candidate, or none within the budget.
    """
    from fashion_lsh.evaluation.advice import choose, nearest, pareto_front
    from fashion_lsh.evaluation.advice_fits import METRICS
    from fashion_lsh.io.files import atomic_write
    from fashion_lsh.report.advice import COLUMNS, advice_figure, advice_row, advice_table
    from fashion_lsh.search.policy import SearchPolicy

    if not candidates:
        raise ValueError("no hash stage could be fitted to the sample; the reasons are above")
    metric, k = METRICS[sample.name]
    title = f"{sample.name} {metric}@{k}"
    front, chosen = pareto_front(candidates), choose(candidates, budget)
    print(f"\n{advice_table(front, chosen, title)}\n\n{len(candidates)} candidates on val: "
          f"{len(sample.query):,} queries, {len(sample.gallery):,} gallery rows")  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "advice.svg") as temporary:
        temporary.write_bytes(advice_figure(candidates, front, chosen, title))
    with atomic_write(out / "candidates.csv") as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *map(advice_row, candidates)])
    if chosen is None:
        closest = nearest(candidates, budget)
        raise ValueError(
            f"--bytes {budget.num_bytes:g} --ms {budget.milliseconds:g}: no candidate is within the budget; the "
            f"nearest is {closest.hash} with {closest.bits} bits and {closest.label}: {closest.num_bytes} bytes, "
            f"{closest.milliseconds:.2f} ms, {title} {closest.score:.3f}"
        )
    embeddings = SearchPolicy(**chosen.search).uses_embeddings
    file_name = settings[chosen.backbone].write(out, chosen.hash, chosen.bits, chosen.search, embeddings)
    print(f"Wrote {file_name}\nTrain with: {PROGRAM} train --config-dir {out} experiment={file_name.stem}")
    return 0
