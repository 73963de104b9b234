"""The model card."""

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_training_images_as_gallery_are_flagged(make_run: MakeRun) -> None:
    page = page_of(make_run(gallery="train"))
    assert "15 the training pictures as gallery" in page.text
    assert "The gallery is what the model was trained on" in page.text


def test_user_images_have_the_licence_of_their_owner(make_run: MakeRun) -> None:
    assert "your own pictures" in page_of(make_run()).text.lower()
