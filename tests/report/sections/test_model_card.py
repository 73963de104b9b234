"""The model card."""

import re

from fashion_lsh.report.phrases import describe_image_licence
from fashion_lsh.report.sections.model_card import TRAINING_GALLERY_NOTE
from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_training_images_as_gallery_are_flagged(make_run: MakeRun) -> None:
    page = read_page(make_run(gallery="train"))
    assert re.search(r"\b15\b.*\btraining images\b", page.text)
    assert TRAINING_GALLERY_NOTE in page.text


def test_user_images_have_the_licence_of_their_owner(make_run: MakeRun) -> None:
    assert describe_image_licence("folder") in read_page(make_run()).text
