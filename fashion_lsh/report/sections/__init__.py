"""Sections of a run's report, one module each."""

from fashion_lsh.report.blocks import Section
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.hamming_pairs import count_pairs
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.sections.categories import categories
from fashion_lsh.report.sections.confidence import confidence
from fashion_lsh.report.sections.confusion import confusion
from fashion_lsh.report.sections.detection import detection
from fashion_lsh.report.sections.distances import distances
from fashion_lsh.report.sections.examples import example_sheets
from fashion_lsh.report.sections.found import found
from fashion_lsh.report.sections.learning_curves import learning
from fashion_lsh.report.sections.model_card import card
from fashion_lsh.report.sections.own import own_sections
from fashion_lsh.report.sections.protocol import protocol
from fashion_lsh.report.sections.retrieval import precision_at_ranks, retrieval
from fashion_lsh.report.sections.scores import scores
from fashion_lsh.report.sections.settings import settings
from fashion_lsh.report.sections.setup import setup


def sections(run_data: RunData) -> list[Section]:
    """Build all sections in the order of the page."""
    pairs = count_pairs(run_data, run_data.codes) if run_data.codes else None
    published, boxes, images = protocol(run_data), detection(run_data), ExampleImages(run_data)
    return [
        Section("setup", "Setup", setup(run_data)),
        Section("scores", "Scores", scores(run_data)),
        *([Section("protocol", "Published protocol", published)] if published else []),
        *([Section("boxes", "Detection", boxes)] if boxes else []),
        Section("learning", "Learning curves", learning(run_data)),
        Section("confusion", "Confusion matrix", confusion(run_data, images)),
        Section("categories", "Scores by category", categories(run_data)),
        Section("retrieval", "Precision and recall of the codes", [*retrieval(pairs), *precision_at_ranks(run_data)]),
        Section("distances", "Hamming distances", distances(pairs, run_data.results)),
        Section("confidence", "Calibration", confidence(run_data)),
        Section("sheets", "Best, typical and worst queries", example_sheets(run_data, images)),
        Section("found", "Queries found by one method only", found(run_data, images)),
        *own_sections(run_data),
        Section("settings", "Settings and environment", settings(run_data)),
        Section("card", "Model card", card(run_data)),
    ]
