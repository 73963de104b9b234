"""Pages of the site in docs/_build/html load no external files, and search works from file://."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SITE = Path(__file__).parents[1] / "docs/_build/html"
EXTERNAL_FILE_PATTERN = re.compile(r"""<(?:link|script|img|iframe)\b[^>]*\b(?:href|src)=["'](?:https?:)?//""")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--virtual-time-budget=9999"]

pytestmark = pytest.mark.site


def test_pages_load_no_external_files() -> None:
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > 30
    assert not [page for page in pages if EXTERNAL_FILE_PATTERN.search(page.read_text())]
    assert not [page for page in SITE.rglob("*.css") if re.search(r"url\(['\"]?(?:https?:)?//", page.read_text())]


def test_every_page_states_its_purpose() -> None:
    generated = {"index.html", "genindex.html", "search.html", "py-modindex.html"}
    written_pages = [page for page in SITE.glob("*.html") if page.name not in generated]
    assert len(written_pages) > 20
    assert not [page for page in written_pages if "After this page you" not in page.read_text()]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(("word", "page"), [("nprobe", "search_policies.html"), ("min_crop_area", "api.html")])
def test_search_works_from_file(word: str, page: str, tmp_path: Path) -> None:
    command = [
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
        f"file://{SITE}/search.html?q={word}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert page in done.stdout
