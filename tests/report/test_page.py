"""Report of a finished run as HTML, Markdown and SVG."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from fashion_lsh.metrics.results import CLASSIFIER
from fashion_lsh.report.hamming_pairs import NO_CODES
from fashion_lsh.report.page import write_report
from fashion_lsh.report.sections.confusion import UNKNOWN_CATEGORIES
from fashion_lsh.report.sections.model_card import KNOWN_CATEGORIES_NOTE, UNSEEN_CATEGORIES_NOTE
from fashion_lsh.report.templates import markdown
from tests.report.factories import MakeRun, change_results
from tests.report.pages import TITLES, read_markdown, read_page

FIGURES = {"learning-classifier.svg", "confusion.svg", "confused-pairs.jpg", "categories.svg", "precision-recall.svg",
           "distances.svg", "reliability.svg", "best.jpg", "typical.jpg", "worst.jpg", "confident.jpg"}  # fmt: skip
DOWNLOADS = {"confusion.csv", "categories.csv"}
SPECIAL_NAMES = ["<b>bold</b>", "R&D &amp; co", "a | b", "it's \"new\"", "$x_1$ $", "外套", "=1+1",
                 "`code` *star* [x](y)", "new\nline", "bell\x07 \\alpha", "</svg><script>alert(1)</script>",
                 "a very long name " * 4, "]]>", "__init__"]  # fmt: skip


def one_line(name: str) -> str:
    return " ".join(name.replace("\x07", " ").split())


def test_the_html_page_and_the_markdown_page_have_the_same_content(make_run: MakeRun) -> None:
    run = make_run()
    before = {path.name for path in run.path.iterdir()}
    page = read_page(run)
    assert {path.name for path in run.path.iterdir()} - before == {"report"}
    assert {path.name for path in (run.path / "report").iterdir()} == FIGURES | DOWNLOADS | {
        "index.html",
        "report.md",
    }
    assert page.texts_in("h2") == TITLES
    assert re.findall(r"^## (.*)$", read_markdown(run), re.M) == TITLES
    [title] = page.texts_in("h1")
    assert "made/0a1b2c3d" in title
    assert set(re.findall(r"!\[.*\]\((.*)\)", read_markdown(run))) == FIGURES
    assert set(re.findall(r"^\[.*\]\((.*)\)", read_markdown(run), re.M)) == DOWNLOADS
    assert not any(attributes.get("class") == "note" for _, attributes in page.tags if "hash_head" not in page.text)


def test_the_page_is_self_contained(make_run: MakeRun) -> None:
    run = make_run()
    page = read_page(run)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    addresses = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert all(address and address.startswith(("data:image/", "data:text/csv;", "#")) for address in addresses)
    assert len([address for address in addresses if str(address).startswith("data:")]) == len(FIGURES | DOWNLOADS)
    for name in DOWNLOADS:
        [link] = [attributes["href"] for _, attributes in page.tags if attributes.get("download") == name]
        content = (run.path / "report" / name).read_bytes()
        assert base64.b64decode(str(link).partition(",")[2]) == content
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert {str(address)[1:] for address in addresses if str(address).startswith("#")} <= anchors
    style = next(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert any(attributes.get("name") == "viewport" for _, attributes in page.tags)


@pytest.mark.parametrize("count", [len(SPECIAL_NAMES), 30])
def test_category_names_are_escaped(count: int, make_run: MakeRun) -> None:
    names = [*SPECIAL_NAMES, *(f"category number {number}" for number in range(count - len(SPECIAL_NAMES)))]
    run = make_run(names)
    page = read_page(run)
    for name in names:
        assert one_line(name) in page.text
        assert markdown(one_line(name)) in read_markdown(run)
    for figure in (run.path / "report").glob("*.svg"):
        texts = [text for text in ET.parse(figure).getroot().itertext() if text.strip()]
        if figure.stem == "confusion":
            joined = "".join("".join(texts).split())
            for name in names:
                assert joined.count("".join(one_line(name).split())) >= 2


def test_every_row_of_a_markdown_table_has_the_same_number_of_cells(make_run: MakeRun) -> None:
    run = make_run(SPECIAL_NAMES)
    write_report(run)
    cell_counts: list[int] = []
    num_tables = 0
    for line in [*read_markdown(run).splitlines(), ""]:
        if line.startswith("|"):
            cell_counts.append(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)))
        elif cell_counts:
            assert len(set(cell_counts)) == 1, line
            assert len(cell_counts) > 2
            cell_counts, num_tables = [], num_tables + 1
    assert num_tables == 15


def test_reports_are_deterministic(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run)
    files = {path.name: path.read_bytes() for path in (run.path / "report").iterdir()}
    write_report(run)
    assert files == {path.name: path.read_bytes() for path in (run.path / "report").iterdir()}


def test_figures_are_small_and_contact_sheets_can_be_opened(make_run: MakeRun) -> None:
    run = make_run([f"category {number}" for number in range(30)])
    write_report(run)
    for path in (run.path / "report").glob("*.*g"):
        assert path.stat().st_size < 300_000
    for name in ("best", "typical", "worst"):
        with Image.open(run.path / "report" / f"{name}.jpg") as image:
            assert image.format == "JPEG"
            assert image.size[0] > 10 * 112


def test_sections_on_codes_have_a_note_if_there_is_no_hash_layer(make_run: MakeRun) -> None:
    run = make_run(bits=None)
    page = read_page(run)
    assert page.texts_in("h2") == TITLES
    assert page.text.count(NO_CODES.text) == 2
    assert not (run.path / "report" / "distances.svg").exists()
    assert "hash_head" not in page.text


def test_a_report_without_items_has_no_item_scores(make_run: MakeRun) -> None:
    page = read_page(make_run(items=False))
    assert "item recall@10" not in page.texts_in("th")
    assert "same item" not in page.text
    cells = page.texts_in("td")
    assert not re.search(r"\d", cells[cells.index("items") + 1])


def test_a_run_with_one_category_has_all_sections(make_run: MakeRun) -> None:
    page = read_page(make_run(["bag"]))
    assert page.texts_in("h2") == TITLES
    assert "No query was assigned to a wrong category." in page.text


def test_unseen_categories_have_no_classification_sections(make_run: MakeRun) -> None:
    run = make_run(unseen=["coat", "hat"])
    change_results(run, lambda rows: [row for row in rows if row.method != CLASSIFIER])
    page = read_page(run)
    assert page.text.count(UNKNOWN_CATEGORIES.text) == 2
    assert "top-1" not in page.text
    assert UNSEEN_CATEGORIES_NOTE in page.text
    assert {path.name for path in (run.path / "report").iterdir()} & {"confusion.svg", "reliability.svg"} == set()
    assert KNOWN_CATEGORIES_NOTE not in page.text


def test_nan_metrics_are_accepted(make_run: MakeRun) -> None:
    run = make_run()
    nan = float("nan")
    change_results(run, lambda rows: [row._replace(value=nan) if row.method == "random" else row for row in rows])
    page = read_page(run)
    assert page.texts_in("h2") == TITLES
    assert any(cell.startswith("nan") for cell in page.texts_in("td"))
