"""Table and figure of the Pareto front."""

from fashion_lsh.evaluation.advice import Candidate
from fashion_lsh.report.advice import advice_figure, advice_table

FRONT = [
    Candidate("resnet18", "lsh", 64, {}, "hamming, 1 list", 0.25, 16, 0.125),
    Candidate("resnet18", "itq", 128, {}, "asymmetric, whole gallery", 0.5, 24, 0.5),
]


def test_table_marks_the_chosen_candidate() -> None:
    header, _, *lines = advice_table(FRONT, FRONT[1], "item recall@10").splitlines()
    assert "item recall@10" in header
    assert [line.split("|")[1].strip() for line in lines] == ["", "*"]
    assert all(text in lines[1] for text in ("itq", "128", "asymmetric, whole gallery", "0.500", "24", "0.50"))


def test_figure_has_a_panel_for_each_size() -> None:
    figure = advice_figure(FRONT, FRONT, FRONT[1], "item recall@10").decode()
    assert all(f"{size} bytes per garment" in figure for size in (16, 24))
    assert "chosen" in figure
    assert advice_figure(FRONT, FRONT, None, "item recall@10").startswith(b"<?xml")
