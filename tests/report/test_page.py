"""The report of a finished run, as its readers' programs read it."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fashion_lsh.evaluation.results import write_queries
from fashion_lsh.report import curves
from fashion_lsh.report.page import write_report
from fashion_lsh.report.run_data import NAMED
from fashion_lsh.report.sections import UNNAMED
from fashion_lsh.report.templates import markdown
from fashion_lsh.runs.run import Run

MakeRun = Callable[..., Run]
TITLES = ["What was asked", "Scores", "Learning curves", "Confusion of categories", "Precision and recall of the codes",
          "Hamming distances", "Confidence", "Best, typical and worst queries", "Settings and environment",
          "Model card"]  # fmt: skip
FIGURES = {"learning-classifier.svg", "confusion.svg", "precision-recall.svg", "distances.svg", "reliability.svg",
           "best.jpg", "typical.jpg", "worst.jpg"}  # fmt: skip
TYPED = ["<b>bold</b>", "R&D &amp; co", "a | b", "it's \"new\"", "$x_1$ $", "外套", "=1+1", "`code` *star* [x](y)",
         "new\nline", "bell\x07 \\alpha", "</svg><script>alert(1)</script>", "a very long name " * 4, "]]>",
         "__init__"]  # fmt: skip
WITHOUT_END = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """A page's tags, held to be closed in order, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] if tag not in WITHOUT_END else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    def of(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


def page_of(run: Run) -> Page:
    return Page(write_report(run).read_text())


def markdown_of(run: Run) -> str:
    return (run.path / "report" / "report.md").read_text()


def one_line(name: str) -> str:
    return " ".join(name.replace("\x07", " ").split())


def test_a_report_is_one_page_and_the_same_in_markdown_with_its_figures(make_run: MakeRun) -> None:
    run = make_run()
    before = {path.name for path in run.path.iterdir()}
    page = page_of(run)
    assert {path.name for path in run.path.iterdir()} - before == {"report"}
    assert {path.name for path in (run.path / "report").iterdir()} == FIGURES | {"index.html", "report.md"}
    assert page.of("h2") == TITLES
    assert re.findall(r"^## (.*)$", markdown_of(run), re.M) == TITLES
    assert page.of("h1") == ["Run made/0a1b2c3d"]
    assert set(re.findall(r"!\[.*\]\((.*)\)", markdown_of(run))) == FIGURES
    assert not any(attributes.get("class") == "note" for _, attributes in page.tags if "hasher" not in page.text)


def test_the_page_needs_nothing_else(make_run: MakeRun) -> None:
    page = page_of(make_run())
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    addresses = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert all(address and address.startswith(("data:image/", "#")) for address in addresses)
    assert len([address for address in addresses if address and address.startswith("data:")]) == len(FIGURES)
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert {str(address)[1:] for address in addresses if str(address).startswith("#")} <= anchors
    style = next(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert any(attributes.get("name") == "viewport" for _, attributes in page.tags)


def test_the_page_says_what_was_asked_and_found(make_run: MakeRun) -> None:
    run = make_run()
    page, metrics = page_of(run), run.metrics
    cells = page.of("td")
    asked = dict(zip(cells[0:20:2], cells[1:20:2], strict=True))
    assert asked["backbone"] == "resnet18, from scratch"
    assert asked["hash layer"] == "12 bits (softmax)"
    assert asked["search"].startswith("the best 200 by Hamming distance")
    assert asked["garments"] == "6 train, 3 val, 12 query, 15 gallery"
    assert asked["categories"] == "3: bag, coat, hat"
    assert asked["left out"] == "2 garments; skipped.csv says why"
    assert asked["items"] == "12 among the queries"
    low, high = (metrics[f"query/category/map@100_{end}"] for end in ("low", "high"))
    assert f"{metrics['query/category/map@100']:.3f} [{low:.3f}, {high:.3f}]" in cells
    assert f"{metrics['query/accuracy']:.3f}" in cells
    for row in (
        "shortlist200_1: The run's own search",
        "random: The gallery in any order",
        "hamming_all: Asked for later",
    ):
        assert row in page.text
    assert "data.image_size" in cells
    assert "your own pictures" in page.text.lower()


@pytest.mark.parametrize("count", [len(TYPED), 30])
def test_whatever_was_typed_as_a_category_reads_as_itself(count: int, make_run: MakeRun) -> None:
    names = [*TYPED, *(f"category number {number}" for number in range(count - len(TYPED)))]
    run = make_run(names)
    page = page_of(run)
    for name in names:
        assert one_line(name) in page.text
        assert markdown(one_line(name)) in markdown_of(run)
    for figure in (run.path / "report").glob("*.svg"):
        texts = [text for text in ET.parse(figure).getroot().itertext() if text.strip()]
        if figure.stem == "confusion":
            whole = "".join("".join(texts).split())
            for name in names:
                assert whole.count("".join(one_line(name).split())) >= 2


def test_every_line_of_a_markdown_table_has_as_many_cells(make_run: MakeRun) -> None:
    run = make_run(TYPED)
    write_report(run)
    table: list[int] = []
    tables = 0
    for line in [*markdown_of(run).splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)))
        elif table:
            assert len(set(table)) == 1, line
            assert len(table) > 2
            table, tables = [], tables + 1
    assert tables == 10


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("a | b", r"a \| b"), ("<b>", r"\<b\>"), ("$x_1$", r"\$x\_1\$"), (r"\a", r"\\a"), ("two\nlines", "two lines")],
)
def test_markdown_signs_are_escaped(text: str, escaped: str) -> None:
    assert markdown(text) == escaped


def test_the_same_run_gives_the_same_report(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run)
    files = {path.name: path.read_bytes() for path in (run.path / "report").iterdir()}
    write_report(run)
    assert files == {path.name: path.read_bytes() for path in (run.path / "report").iterdir()}


def test_figures_are_small_and_sheets_can_be_opened(make_run: MakeRun) -> None:
    run = make_run([f"category {number}" for number in range(30)])
    write_report(run)
    for path in (run.path / "report").glob("*.*g"):
        assert path.stat().st_size < 300_000
    for name in ("best", "typical", "worst"):
        with Image.open(run.path / "report" / f"{name}.jpg") as picture:
            assert picture.format == "JPEG"
            assert picture.size[0] > 10 * 112


def test_the_distances_of_codes_are_drawn_by_category_and_by_item_beside_what_their_bits_say(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    drawn = "".join(ET.parse(run.path / "report" / "distances.svg").getroot().itertext())
    for name in ("same category", "other category", "same item", "other item"):
        assert name in drawn
        assert f"{name} " in page.text
    cells = page.of("td")
    assert cells[cells.index("entropy") + 1] == f"{run.metrics['codes/entropy']:.3f}"
    assert cells[cells.index("distinct codes") + 1] == f"{run.metrics['codes/distinct']:,}"
    assert "quantisation error" not in cells  # not measured here


def test_without_a_hash_layer_the_sections_on_codes_say_so(make_run: MakeRun) -> None:
    run = make_run(bits=None)
    page = page_of(run)
    assert page.of("h2") == TITLES
    assert page.text.count("with hash=none there are no codes") == 2
    assert not (run.path / "report" / "distances.svg").exists()
    assert "hasher" not in page.text


def test_without_items_there_is_no_word_of_item_scores(make_run: MakeRun) -> None:
    page = page_of(make_run(items=False))
    assert "item recall@10" not in page.of("th")
    assert "same item" not in page.text
    assert "not known: scores are by category alone" in page.of("td")


def test_a_stage_that_was_not_fitted_here_has_a_note_for_a_plot(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    assert "No curves of the hasher: it was not fitted here" in page.text
    assert "Best on validation: 0.625, in epoch 2" in page.text
    shutil.rmtree(run.path / "logs")
    assert "No curves of the classifier: it was not fitted here" in page_of(run).text


def test_a_fit_whose_first_logs_are_gone_says_so(make_run: MakeRun) -> None:
    run = make_run()
    log = run.path / "logs" / "version_0" / "metrics.csv"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], *lines[3:]]))
    assert "The logs of the classifier begin in epoch 2" in page_of(run).text


def test_sittings_are_joined_in_the_order_of_their_numbers(make_run: MakeRun) -> None:
    run = make_run()
    for number, value in ((2, 0.7), (10, 0.9)):
        folder = run.path / "logs" / f"version_{number}"
        folder.mkdir()
        (folder / "metrics.csv").write_text(f"classifier/val/accuracy,epoch,step\n{value},1,23\n")
    assert "Best on validation: 0.900, in epoch 2" in page_of(run).text


def test_pictures_that_are_gone_are_named_and_the_rest_is_kept(make_run: MakeRun) -> None:
    run = make_run()
    pictures = Path(run.config["data"]["root"]).parent
    (pictures / "1.png").unlink()
    page = page_of(run)
    note = next(text for text in page.of("p") if text.startswith("Pictures that cannot be opened"))
    assert re.search(r"1-(query|gallery)-\d \(.*1\.png: no such file\)", note)
    assert "0-query" not in note
    assert (run.path / "report" / "best.jpg").exists()
    shutil.rmtree(pictures)
    shutil.rmtree(run.path / "report")
    page = page_of(run)
    assert page.of("h2") == TITLES
    assert "more." in next(text for text in page.of("p") if text.startswith("Pictures that cannot be opened"))
    assert not (run.path / "report" / "best.jpg").exists()
    assert "the figures of the worst queries" in page.of("summary")


def test_a_source_that_does_not_open_is_a_note(make_run: MakeRun) -> None:
    run = make_run(source="fashion_mnist", root="/nowhere")
    page = page_of(run)
    assert "/nowhere does not hold Fashion-MNIST's four files" in page.text
    assert "MIT licence" in page.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"query/accuracy": 0.5, "query'),
        ("metrics.json", b"[]"),
        ("metrics.json", b"{}"),
        ("queries.parquet", b"PAR1 and then nothing"),
        ("queries.parquet", b""),
        ("codes.npz", b"PK\x03\x04"),
        ("split.parquet", b"PAR1"),
        ("config.yaml", b"data: [1, 2"),
        ("config.yaml", b"data: {}"),
        ("environment.json", b""),
        ("logs/version_0/metrics.csv", b"classifier/train/loss,epoch,step\nmuch,0,9\n"),
    ],
)
def test_a_damaged_file_is_named_with_a_way_out(name: str, content: bytes, make_run: MakeRun) -> None:
    run = make_run()
    (run.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(run.path / name))} is damaged \(.*\): remove"):
        write_report(run)
    assert not (run.path / "report").exists()


@pytest.mark.parametrize("name", ["queries.parquet", "codes.npz", "split.parquet", "environment.json"])
def test_a_missing_file_is_named(name: str, make_run: MakeRun) -> None:
    run = make_run()
    (run.path / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{re.escape(str(run.path / name))} is missing: remove"):
        write_report(run)


def test_a_run_that_is_not_finished_is_told_so(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"is not finished.*type its train.py command again"):
        write_report(run)


def test_the_rows_of_another_search_are_not_the_runs_own(make_run: MakeRun) -> None:
    run = make_run()
    own = page_of(run).of("td")
    table = pq.read_table(run.path / "queries.parquet")
    place = table.column_names.index("search")
    other = table.set_column(place, "search", [["hamming_all"] * len(table)])
    hats = other.set_column(other.column_names.index("predicted"), "predicted", [["hat"] * len(table)])
    write_queries(run.path / "queries.parquet", hats)
    assert page_of(run).of("td") == own
    pq.write_table(other, run.path / "queries.parquet")
    with pytest.raises(ValueError, match="no rows of the run's own search, shortlist200_1"):
        write_report(run)


def test_confusion_and_confidence_are_of_the_query_table(make_run: MakeRun) -> None:
    run = make_run()
    page, table = page_of(run), pq.read_table(run.path / "queries.parquet").to_pydict()
    wrong = [pair for pair in zip(table["category"], table["predicted"], strict=True) if pair[0] != pair[1]]
    common = max(wrong.count(pair) for pair in wrong)
    first = page.of("th").index("share of the category")
    assert first > 0
    rows = [tuple(page.of("td")[at : at + 3]) for at in range(len(page.of("td")) - 2)]
    assert any((*pair, str(common)) in rows for pair in wrong if wrong.count(pair) == common)
    sure, right = np.array(table["mass"]), np.equal(table["category"], table["predicted"])
    bins = np.minimum((sure * 15).astype(int), 14)
    error = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist()))
    assert f"(ECE) on the queries {error:.3f}" in page.text


def test_of_very_many_pairs_some_are_counted_and_the_page_says_so(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    assert "evenly chosen" not in page_of(run).text
    monkeypatch.setattr(curves, "PAIRS", 5 * 15)
    assert page_of(run).text.count("5 of the 12 queries, evenly chosen") == 2


def test_of_unseen_categories_nothing_is_said_that_needs_their_names(make_run: MakeRun) -> None:
    run = make_run(unseen=["coat", "hat"])
    kept = {name: value for name, value in run.metrics.items() if name not in NAMED}
    run.write_json("metrics.json", kept)
    page = page_of(run)
    assert page.text.count(UNNAMED.text) == 2
    assert "top-1" not in page.text
    assert "never trained" in page.text
    assert {path.name for path in (run.path / "report").iterdir()} & {"confusion.svg", "reliability.svg"} == set()
    assert "measures the classifier again" not in page.text


def test_a_lack_of_what_the_classifier_is_worth_is_damage_elsewhere(make_run: MakeRun) -> None:
    run = make_run()
    run.write_json("metrics.json", {name: value for name, value in run.metrics.items() if name not in NAMED})
    with pytest.raises(ValueError, match="it has no query/accuracy"):
        write_report(run)


def test_the_training_pictures_as_gallery_are_flagged(make_run: MakeRun) -> None:
    page = page_of(make_run(searched="train"))
    assert "15 the training pictures as gallery" in page.text
    assert "The gallery is what the model was trained on" in page.text


def test_numbers_that_are_none_do_no_harm(make_run: MakeRun) -> None:
    run = make_run()
    metrics = json.loads((run.path / "metrics.json").read_text())
    run.write_json("metrics.json", metrics | {"rows/random/item/recall@1": float("nan")})
    assert page_of(run).of("h2") == TITLES
