"""Page of `experiment=stability`: fashion-lsh report experiments/stability --repeats runs/stability/*.

Scores and query outputs of the runs are saved in jobs/ and query_outputs/ of the page's folder. The page covers all
saved runs; without runs on the command line, the page is only rewritten.
"""

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from fashion_lsh.evaluation.robustness import BLUR_SIGMA, CORRUPTIONS, JPEG_QUALITY, NOISE_STD, OCCLUSION_RATIO
from fashion_lsh.report.figures import BLUE, GREY, ORANGE, svg_figure
from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.report.phrases import markdown_table, percent
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.query_outputs import read_repeat, read_saved_runs, save_outputs
from fashion_lsh.studies.repeats import SCORES, repeat_rows

SPREAD_TEXT = "Mean ± standard deviation over the runs (range)."
PAIRS_TEXT = (
    "Two runs that differ only in the seed are compared on the same query images. *bits changed* is the fraction of "
    "code bits that differ. Bits of separately trained models have no common meaning, so compare *bits changed* with "
    "*by chance*, the fraction expected between two arbitrary images. *same prediction* is the fraction of queries "
    "with the same predicted category, correct or not. *hit overlap* is the overlap of the first ten hits."
)
PAIR_METRICS = ("bits changed", "by chance", "same prediction", "hit overlap")
WORST_TEXT = "Worst category {worst}."
CORRUPTED_TEXT = (
    f"Only the query crops are corrupted. *blur*: Gaussian, standard deviation {percent(BLUR_SIGMA)} of the crop's "
    f"side. *jpeg*: quality {JPEG_QUALITY}. *noise*: Gaussian, standard deviation {NOISE_STD:g} of 255. *occlusion*: "
    f"a grey square of {percent(OCCLUSION_RATIO**2, 0)} of the area at a random position."
)


def write_stability(folder: Path, runs: Sequence[Path]) -> Path:
    """Write `results.csv`, the figure and the tables in `README.md` for runs with several seeds and splits.

    Args:
        folder: Experiment folder.
        runs: Folders of finished runs, added to the runs saved in the experiment folder.

    Returns:
        Path of the page.

    Raises:
        OSError: a file cannot be read or written, or a run is not finished.
        ValueError: a file is damaged, runs differ in more than backbone, seed and split, or the page has no markers
            for the tables.
    """
    saved = {repeat.key: repeat for repeat in read_saved_runs(folder)}
    passed_runs = [Run(path) for path in runs]
    # A run without metrics read its scores from jobs/, so its saved outputs are used.
    new_runs = [run for run in passed_runs if run.metrics or run.path.name not in saved]
    all_runs = saved | {run.path.name: read_repeat(run) for run in new_runs}
    rows = repeat_rows([*all_runs.values()])
    text, figures = page(rows)
    for run in new_runs:
        save_outputs(folder, run, all_runs[run.path.name].outputs)
    write_page(folder, rows, text, figures)
    return folder / "README.md"


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of the rows of `repeat_rows`, and figures by file name.  Raises ValueError: no repeated runs."""
    runs = [row for row in rows if row["row type"] == "run"]
    groups = by_variation(runs)
    if not groups:
        raise ValueError("--repeats: no two runs differ only in seed or only in split; pass more runs")
    parts = ["### Spread over seeds and splits", SPREAD_TEXT, spread_table(groups)]
    if pairs := [row for row in rows if row["row type"] == "pair"]:
        parts += ["### Agreement between seeds", PAIRS_TEXT, pair_table(pairs)]
    parts += ["### By category", *by_category(groups, [row for row in rows if row["row type"] == "category"])]
    if any(f"{name} top-1" in row for row in runs for name in CORRUPTIONS):
        parts += ["### Corrupted queries", CORRUPTED_TEXT, corruption_table(groups)]
    parts += ["![Top-1 of each run; top-1 on corrupted queries](stability.svg)"]
    return "\n\n".join(parts), {"stability.svg": figure(groups)}


def by_variation(runs: Sequence[Row]) -> dict[str, list[Row]]:
    """Group runs by backbone and varied setting: seeds with one split, splits with one seed, or a single run."""
    groups: dict[str, list[Row]] = {}
    for backbone in dict.fromkeys(row["backbone"] for row in runs):
        backbone_runs = [row for row in runs if row["backbone"] == backbone]
        for fixed, varied in (("split", "seed"), ("seed", "split")):
            for value in dict.fromkeys(row[fixed] for row in backbone_runs):
                group = [row for row in backbone_runs if row[fixed] == value]
                if len(group) > 1 or (len(backbone_runs) == 1 and varied == "seed"):
                    count = f"{len(group)} {varied}{'s' if len(group) > 1 else ''}"
                    groups[f"{backbone}, {count}, {fixed} {value}"] = group
    return groups


def spread_table(groups: dict[str, list[Row]]) -> str:
    """Table of mean, standard deviation and range of each score, one row per group."""
    runs = [row for group in groups.values() for row in group]
    titles = [title for title in (*SCORES, "codes only") if any(title in row for row in runs)]
    lines = [[name, *(_spread(group, title, with_range=True) for title in titles)] for name, group in groups.items()]
    return markdown_table(lines, ["runs", *titles])


def pair_table(pairs: Sequence[Row]) -> str:
    """Table of the agreement between pairs of runs, one row per backbone and split."""
    titles = [title for title in PAIR_METRICS if any(title in row for row in pairs)]
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in pairs:
        groups.setdefault((row["backbone"], row["split"]), []).append(row)
    lines = [
        [backbone, split, len(own), *(_spread(own, title, with_range=True) for title in titles)]
        for (backbone, split), own in groups.items()
    ]
    return markdown_table(lines, ["backbone", "split", "pairs of seeds", *titles])


def by_category(groups: dict[str, list[Row]], rows: Sequence[Row]) -> list[str]:
    """Top-1 and mAP@100 of each category in the largest group, and number of runs in which a category is worst."""
    name, group = _largest(groups)
    own = [row for row in rows if _run_key(row) in set(map(_run_key, group))]
    names = list(dict.fromkeys(row["category"] for row in own))
    titles = ("top-1", "category mAP@100")
    rows_by_category = {category: [row for row in own if row["category"] == category] for category in names}
    lines = [
        [category, *(_spread(category_rows, title, with_range=True) for title in titles)]
        for category, category_rows in rows_by_category.items()
    ]
    worst = []
    for title in titles:
        lowest = [min((row for row in own if _run_key(row) == _run_key(run)), key=itemgetter(title)) for run in group]
        counts = {category: sum(row["category"] == category for row in lowest) for category in names}
        counts_text = ", ".join(
            f"{category} ({count} of {len(group)} runs)" for category, count in counts.items() if count
        )
        worst.append(f"by {title}: {counts_text}")
    table = markdown_table(lines, ["category", *titles])
    return [f"{name}:", table, WORST_TEXT.format(worst="; ".join(worst))]


def corruption_table(groups: dict[str, list[Row]]) -> str:
    """Table of scores on clean and corrupted queries, one row per group and corruption."""
    lines = []
    for name, group in groups.items():
        for prefix in ("", *(f"{corruption} " for corruption in CORRUPTIONS)):
            lines.append([name, prefix.strip() or "clean", *(_spread(group, f"{prefix}{title}") for title in SCORES)])
    return markdown_table(lines, ["runs", "queries", *SCORES])


def figure(groups: dict[str, list[Row]]) -> bytes:
    """Plot top-1 of each run by group (left) and top-1 on corrupted queries in the largest group (right), as SVG."""
    with svg_figure(2.2 + 0.3 * len(groups), 9.0) as (canvas, out):
        left, right = canvas.subplots(1, 2)
        for position, group in enumerate(groups.values()):
            values = [row["top-1"] for row in group]
            left.plot(values, [position] * len(values), "o", color=BLUE, alpha=0.6)
            left.plot([np.mean(values)], [position], "|", color=ORANGE, markersize=18, markeredgewidth=2)
        left.set(yticks=range(len(groups)), yticklabels=list(groups), xlabel="top-1", ylim=(len(groups) - 0.5, -0.5))
        name, largest = _largest(groups)
        for position, prefix in enumerate(("", *(f"{name} " for name in CORRUPTIONS))):
            values = [row[f"{prefix}top-1"] for row in largest if f"{prefix}top-1" in row]
            right.bar(position, np.mean(values) if values else 0.0, 0.6, color=BLUE if prefix else GREY, alpha=0.4)
            right.plot([position] * len(values), values, "o", color=BLUE if prefix else GREY, markersize=4)
        right.set(xticks=range(1 + len(CORRUPTIONS)), xticklabels=["clean", *CORRUPTIONS], ylim=(0, 1), title=name)
        right.set_ylabel("top-1")
    return out.getvalue()


def _largest(groups: dict[str, list[Row]]) -> tuple[str, list[Row]]:
    """Group with the most runs; on ties the first group, with several seeds."""
    return max(groups.items(), key=lambda item: len(item[1]))


def _run_key(row: Row) -> tuple[object, ...]:
    return row["backbone"], row["seed"], row["split"]


def _spread(rows: Sequence[Row], title: str, with_range: bool = False) -> str:
    values = [row[title] for row in rows if title in row]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    range_text = f" ({min(values):.3f} to {max(values):.3f})" if with_range else ""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}{range_text}"
