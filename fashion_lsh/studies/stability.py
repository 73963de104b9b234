"""Page of `experiment=stability`: python -m fashion_lsh report experiments/stability --repeats runs/stability/*.

Scores of the runs given, and the results of their queries, are saved in the page's jobs/ and answers/. The page is made
of everything saved there; without a run, of that alone.
"""

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from fashion_lsh.evaluation.robustness import CORRUPTIONS, COVERED, DEVIATION, QUALITY, SIGMA
from fashion_lsh.report.figures import BLUE, GREY, ORANGE, drawing
from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.report.phrases import as_markdown
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.query_outputs import keep, of_run, read_kept
from fashion_lsh.studies.repeats import SCORES, repeats

SPREAD = "Mean ± standard deviation over the runs, and their range."
PAIRS = (
    "The same query pictures asked two runs that differ in the seed. *bits changed* is the share of code bits that "
    "differ; bits learnt apart have no meaning in common, so read it beside *by chance*, the share that differs "
    "between any two pictures. What a search gives can be compared: *named alike* is the share of queries that both "
    "put into the same category, right or wrong, and *hits alike* the share of the first ten hits that both found."
)
SHARED = ("bits changed", "by chance", "named alike", "hits alike")
WORST = "Worst of all: {worst}."
SPOILT = (
    f"The query crops alone are spoilt: *blur*, Gaussian, deviation {SIGMA:.1%} of the crop's side; *jpeg*, quality "
    f"{QUALITY}; *noise*, Gaussian, deviation {DEVIATION:g} of 255; *occlusion*, a grey square of {COVERED**2:.0%} of "
    "the area, anywhere."
)


def write_stability(folder: Path, runs: Sequence[Path]) -> Path:
    """Write `results.csv`, the figure, and the tables in `README.md`, of runs of several seeds and splits.

    Args:
        folder: of the experiment.
        runs: folders of finished runs; those saved in the experiment's folder before are read from there.

    Returns:
        The page.

    Raises:
        OSError: a file cannot be read or written, or a run is not finished.
        ValueError: a file is damaged, runs are not repeats of one another, or the page has no place for the tables.
    """
    before = {each.key: each for each in read_kept(folder)}
    given = [Run(path) for path in runs]
    new = [run for run in given if run.metrics or run.path.name not in before]  # others read their scores from jobs/
    repeated = before | {run.path.name: of_run(run) for run in new}
    rows = repeats([*repeated.values()])
    text, figures = page(rows)
    for run in new:
        keep(folder, run, repeated[run.path.name].answers)
    write_page(folder, rows, text, figures)
    return folder / "README.md"


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown, and figures by name, of what `repeats` tells.  Raises ValueError: nothing is repeated."""
    runs = [row for row in rows if row["of"] == "run"]
    arms = by_variation(runs)
    if not arms:
        raise ValueError("no two of these runs differ in their seed, or in their split, alone: give more of them")
    parts = ["### Other seeds, other splits", SPREAD, spreads(arms)]
    if pairs := [row for row in rows if row["of"] == "pair"]:
        parts += ["### What two seeds have in common", PAIRS, in_common(pairs)]
    parts += ["### By category", *by_category(arms, [row for row in rows if row["of"] == "category"])]
    if any(f"{name} top-1" in row for row in runs for name in CORRUPTIONS):
        parts += ["### Spoilt pictures", SPOILT, spoilt(arms)]
    parts += ["![Top-1 of each run; top-1 on spoilt pictures](stability.svg)"]
    return "\n\n".join(parts), {"stability.svg": figure(arms)}


def by_variation(runs: Sequence[Row]) -> dict[str, list[Row]]:
    """Runs by what is varied among them: several seeds on one split, several splits with one seed, or a single one."""
    arms: dict[str, list[Row]] = {}
    for backbone in dict.fromkeys(row["backbone"] for row in runs):
        own = [row for row in runs if row["backbone"] == backbone]
        for kept, varied in (("split", "seed"), ("seed", "split")):
            for value in dict.fromkeys(row[kept] for row in own):
                alike = [row for row in own if row[kept] == value]
                if len(alike) > 1 or (len(own) == 1 and varied == "seed"):
                    count = f"{len(alike)} {varied}{'s' if len(alike) > 1 else ''}"
                    arms[f"{backbone}, {count}, {kept} {value}"] = alike
    return arms


def spreads(arms: dict[str, list[Row]]) -> str:
    """Each score, a row an arm."""
    runs = [row for arm in arms.values() for row in arm]
    titles = [title for title in (*SCORES, "codes alone, all") if any(title in row for row in runs)]
    lines = [[name, *(_spread(arm, title, ranged=True) for title in titles)] for name, arm in arms.items()]
    return as_markdown(lines, ["runs", *titles])


def in_common(pairs: Sequence[Row]) -> str:
    """What pairs of runs share, a row for each backbone and split."""
    titles = [title for title in SHARED if any(title in row for row in pairs)]
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in pairs:
        groups.setdefault((row["backbone"], row["split"]), []).append(row)
    lines = [
        [backbone, split, len(own), *(_spread(own, title, ranged=True) for title in titles)]
        for (backbone, split), own in groups.items()
    ]
    return as_markdown(lines, ["backbone", "split", "pairs of seeds", *titles])


def by_category(arms: dict[str, list[Row]], rows: Sequence[Row]) -> list[str]:
    """Top-1 and mAP@100 of each category in the largest arm, and which is the worst in how many of its runs."""
    name, arm = _largest(arms)
    own = [row for row in rows if _key(row) in set(map(_key, arm))]
    names = list(dict.fromkeys(row["category"] for row in own))
    titles = ("top-1", "category mAP@100")
    of = {category: [row for row in own if row["category"] == category] for category in names}
    lines = [[category, *(_spread(found, title, ranged=True) for title in titles)] for category, found in of.items()]
    worst = []
    for title in titles:
        lowest = [min((row for row in own if _key(row) == _key(run)), key=itemgetter(title)) for run in arm]
        counts = {category: sum(row["category"] == category for row in lowest) for category in names}
        told = ", ".join(f"{category} in {count} of {len(arm)}" for category, count in counts.items() if count)
        worst.append(f"by {title} {told}")
    table = as_markdown(lines, ["category", *titles])
    return [f"{name}:", table, WORST.format(worst="; ".join(worst))]


def spoilt(arms: dict[str, list[Row]]) -> str:
    """Scores on clean and on spoilt queries, a row for each arm and way of spoiling."""
    lines = []
    for name, arm in arms.items():
        for start in ("", *(f"{each} " for each in CORRUPTIONS)):
            lines.append([name, start.strip() or "clean", *(_spread(arm, f"{start}{title}") for title in SCORES)])
    return as_markdown(lines, ["runs", "queries", *SCORES])


def figure(arms: dict[str, list[Row]]) -> bytes:
    """Left top-1 of each run, a line of dots an arm; right that on spoilt queries, of the largest arm; as SVG."""
    with drawing(2.2 + 0.3 * len(arms), 9.0) as (canvas, out):
        left, right = canvas.subplots(1, 2)
        for place, arm in enumerate(arms.values()):
            values = [row["top-1"] for row in arm]
            left.plot(values, [place] * len(values), "o", color=BLUE, alpha=0.6)
            left.plot([np.mean(values)], [place], "|", color=ORANGE, markersize=18, markeredgewidth=2)
        left.set(yticks=range(len(arms)), yticklabels=list(arms), xlabel="top-1", ylim=(len(arms) - 0.5, -0.5))
        name, largest = _largest(arms)
        for place, start in enumerate(("", *(f"{name} " for name in CORRUPTIONS))):
            values = [row[f"{start}top-1"] for row in largest if f"{start}top-1" in row]
            right.bar(place, np.mean(values) if values else 0.0, 0.6, color=BLUE if start else GREY, alpha=0.4)
            right.plot([place] * len(values), values, "o", color=BLUE if start else GREY, markersize=4)
        right.set(xticks=range(1 + len(CORRUPTIONS)), xticklabels=["clean", *CORRUPTIONS], ylim=(0, 1), title=name)
        right.set_ylabel("top-1")
    return out.getvalue()


def _largest(arms: dict[str, list[Row]]) -> tuple[str, list[Row]]:
    """The arm of the most runs; of equals the first, which varies the seed."""
    return max(arms.items(), key=lambda item: len(item[1]))


def _key(row: Row) -> tuple[object, ...]:
    return row["backbone"], row["seed"], row["split"]


def _spread(rows: Sequence[Row], title: str, ranged: bool = False) -> str:
    values = [row[title] for row in rows if title in row]
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    ends = f" ({min(values):.3f} to {max(values):.3f})" if ranged else ""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}{ends}"
