"""The model card: what a model is for, what it is made of, and what was not measured."""

from fashion_lsh.report.blocks import Block, Command, Listing, Text
from fashion_lsh.report.phrases import describe_image_licence, describe_weights
from fashion_lsh.report.run_data import RunData

USE = (
    "Intended use: to find garments similar to the one in a picture in a gallery filed by this model, and to compare "
    "ways of doing so. It is not made to tell people apart, or to judge them."
)
CLASSIFIED = (
    "Relevance by category measures the classifier again: a query that is seen as another category finds few of its "
    "own. The row predicted_category shows how far the category alone gets."
)
UNSEEN = (
    "The categories that ask and are searched were never trained: scores tell how far the codes reach beyond what was "
    "learnt. The model gives such garments the name of a category that it knows, so filing by it has no meaning here."
)
LIMITS = (
    "Only the queries of this data set were measured; other shops, cameras, people and categories were not. A picture "
    "of something else is still given one of the categories.",
    "Garments at one Hamming distance have no order of their own: scores of codes are expectations over all orders.",
    "Confidences are calibrated on val: they hold for pictures like those.",
    "Times are this machine's, one query at a time.",
)
MADE = "Items are re-viewed garments, not two photographs of one product: item scores do not tell how well those match."
TRAINED = "The gallery is what the model was trained on: on garments it has not seen, scores will be lower."
AGAIN = (
    "To make it again: with the same package version and data, from the project's folder; RUN is the full path of this "
    "run's folder."
)
COMMAND = (
    "python train.py --config-path RUN --config-name config hydra.run.dir=. hydra.output_subdir=null "
    "hydra/job_logging=stdout runs=again overwrite=false"
)


def card(run_data: RunData) -> list[Block]:
    """What the model is for, what it is made of, and what was not measured."""
    data = run_data.config["data"]
    made = [MADE] if data["source"] == "shop_street" else []
    trained = [TRAINED] if data["gallery"] == "train" else []
    return [
        Text(USE),
        Text(f"Pictures: {describe_image_licence(data['source'])}"),
        Text(f"Weights: {describe_weights(run_data.config['backbone'])}"),
        Text("Limits:"),
        Listing([*trained, *made, CLASSIFIED if run_data.has_known_categories else UNSEEN, *LIMITS]),
        Text(AGAIN),
        Command(COMMAND),
    ]
