"""Table and figure of the Pareto front of codes and searches."""

from collections.abc import Sequence

from fashion_lsh.evaluation.advice import Candidate
from fashion_lsh.report.figures import BLUE, GREY, ORANGE, legend, svg_figure
from fashion_lsh.report.phrases import markdown_table

COLUMNS = ("backbone", "hash", "bits", "search", "score", "bytes", "ms")


def advice_row(candidate: Candidate) -> list[object]:
    """Values of a candidate in the order of COLUMNS."""
    score = f"{candidate.score:.3f}"
    return [candidate.backbone, candidate.hash, candidate.bits, candidate.label, score, candidate.num_bytes,
            f"{candidate.milliseconds:.2f}"]  # fmt: skip


def advice_table(front: Sequence[Candidate], chosen: Candidate | None, metric: str) -> str:
    """Markdown table of the Pareto front; the chosen candidate has a star."""
    titles = ["", *(metric if name == "score" else name for name in COLUMNS)]
    return markdown_table([["*" if each == chosen else "", *advice_row(each)] for each in front], titles)


def advice_figure(
    candidates: Sequence[Candidate], front: Sequence[Candidate], chosen: Candidate | None, metric: str
) -> bytes:
    """Plot the score of all candidates by milliseconds per query as SVG, one panel per number of bytes."""
    sizes = sorted({each.num_bytes for each in candidates})
    with svg_figure(0.9 + 1.9 * len(sizes)) as (figure, buffer):
        panels = figure.subplots(len(sizes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for number, (axes, size) in enumerate(zip(panels, sizes, strict=True)):
            groups = (("measured", candidates, GREY, "."), ("Pareto front", front, BLUE, "o"),
                      ("chosen", [chosen] if chosen else [], ORANGE, "D"))  # fmt: skip
            for name, group, colour, marker in groups:
                shown = [each for each in group if each.num_bytes == size]
                times, scores = [each.milliseconds for each in shown], [each.score for each in shown]
                axes.plot(times, scores, marker, color=colour, label=name if number == 0 else None)
            axes.set(ylabel=metric, title=f"{size} bytes per garment")
        panels[-1].set(xlabel="ms per query", xscale="log")
        legend(figure)
    return buffer.getvalue()
