"""The model card."""

import re

from fashion_lsh.report.phrases import describe_image_licence
from fashion_lsh.report.sections.model_card import TRAINED
from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_training_images_as_gallery_are_flagged(make_run: MakeRun) -> None:
    page = page_of(make_run(gallery="train"))
    assert re.search(r"\b15\b.*\btraining images\b", page.text)
    assert TRAINED in page.text


def test_user_images_have_the_licence_of_their_owner(make_run: MakeRun) -> None:
    assert describe_image_licence("folder") in page_of(make_run()).text
