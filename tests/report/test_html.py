"""Conversion of an experiment's README.md to HTML."""

from pathlib import Path

from fashion_lsh.report.html import write_html

TEXT = """# A <b>title</b> & more

**Question.** Which? [Here](../other/README.md).

<!-- columns: top-1 -->

| hash | top-1 |
|:-----|:------|
| csq  | **0.5** |

![bars](results.svg) ![missing](missing.svg) ![remote](https://example.org/a.png)
"""


def test_a_page_embeds_its_images_and_has_no_comments(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(TEXT)
    (tmp_path / "results.svg").write_text("<svg/>")
    page = write_html(tmp_path / "README.md")
    assert page == tmp_path / "index.html"
    text = page.read_text()
    assert "<title>A &lt;b&gt;title&lt;/b&gt; &amp; more</title>" in text
    assert "<b>" not in text
    assert "<td><strong>0.5</strong></td>" in text.replace(' style="text-align:left"', "")
    assert "columns:" not in text
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in text
    assert 'src="missing.svg"' in text
    assert 'src="https://example.org/a.png"' in text


def test_only_table_cells_with_long_text_may_wrap(tmp_path: Path) -> None:
    table = "# Claims\n\n| claim | top-1 |\n|:--|:--|\n| Cropped images have a higher accuracy | 0.5 ± 0.1 |\n"
    (tmp_path / "README.md").write_text(table)
    text = write_html(tmp_path / "README.md").read_text().replace(' style="text-align:left"', "")
    assert '<td class="sentence">Cropped images' in text
    assert "<td>0.5 ± 0.1</td>" in text
