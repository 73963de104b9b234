"""Sections of a run's report, one module each."""

from fashion_lsh.report.blocks import Section
from fashion_lsh.report.hamming_pairs import count_pairs
from fashion_lsh.report.run_data import Findings
from fashion_lsh.report.sections.confidence import confidence
from fashion_lsh.report.sections.confusion import confusion
from fashion_lsh.report.sections.detection import detection
from fashion_lsh.report.sections.distances import distances
from fashion_lsh.report.sections.examples import judged
from fashion_lsh.report.sections.learning_curves import learning
from fashion_lsh.report.sections.model_card import card
from fashion_lsh.report.sections.retrieval import retrieval
from fashion_lsh.report.sections.scores import scores
from fashion_lsh.report.sections.settings import settings
from fashion_lsh.report.sections.setup import asked


def sections(found: Findings) -> list[Section]:
    """List all sections in the order of the page."""
    pairs = count_pairs(found, found.codes) if found.codes else None
    boxes = detection(found)
    return [
        Section("asked", "What was asked", asked(found)),
        Section("scores", "Scores", scores(found)),
        *([Section("boxes", "Garments found in pictures", boxes)] if boxes else []),
        Section("learning", "Learning curves", learning(found)),
        Section("confusion", "Confusion of categories", confusion(found)),
        Section("retrieval", "Precision and recall of the codes", retrieval(pairs)),
        Section("distances", "Hamming distances", distances(pairs, found.metrics)),
        Section("confidence", "Confidence", confidence(found)),
        Section("sheets", "Best, typical and worst queries", judged(found)),
        Section("settings", "Settings and environment", settings(found)),
        Section("card", "Model card", card(found)),
    ]
