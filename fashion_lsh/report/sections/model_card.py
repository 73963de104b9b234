"""Model card: intended use, licences, limitations and reproduction."""

from fashion_lsh.report.blocks import Block, Command, Listing, Text
from fashion_lsh.report.phrases import describe_image_licence, describe_weights
from fashion_lsh.report.run_data import RunData

USE = (
    "Intended use: search a gallery indexed with this model for garments similar to the one in an image, and compare "
    "search methods. Out of scope: identifying or assessing people."
)
CLASSIFIED = (
    "Category scores also measure the classifier: a query with a wrong predicted category finds few garments of its "
    "own category. The method predicted_category shows the scores of the predicted category without codes."
)
UNSEEN = (
    "The categories of queries and gallery were never trained: scores show how well the codes generalise to new "
    "categories. The model assigns such garments to a trained category, so inverted lists have no meaning here."
)
LIMITS = (
    "Only the queries of this data set were evaluated; other shops, cameras, people and categories were not. An image "
    "of anything else is still assigned to one of the categories.",
    "Garments at the same Hamming distance are unordered: scores of codes are expectations over all orders.",
    "Confidences are calibrated on val and apply to similar images only.",
    "Times were measured on this machine, one query at a time.",
)
MADE = "Items are re-rendered garments: item scores do not show how well two photographs of one product match."
TRAINED = "The gallery is the training images: scores on unseen garments will be lower."
AGAIN = (
    "To reproduce this run, use the same package version and data, and run this command in the project folder; RUN is "
    "the full path of the run folder."
)
COMMAND = (
    "python train.py --config-path RUN --config-name config hydra.run.dir=. hydra.output_subdir=null "
    "hydra/job_logging=stdout runs=again overwrite=false"
)


def card(run_data: RunData) -> list[Block]:
    """Build the model card: intended use, licences, limitations and the command to reproduce the run."""
    data = run_data.config["data"]
    made = [MADE] if data["source"] == "shop_street" else []
    trained = [TRAINED] if data["gallery"] == "train" else []
    return [
        Text(USE),
        Text(f"Images: {describe_image_licence(data['source'])}"),
        Text(f"Weights: {describe_weights(run_data.config['backbone'])}"),
        Text("Limitations:"),
        Listing([*trained, *made, CLASSIFIED if run_data.has_known_categories else UNSEEN, *LIMITS]),
        Text(AGAIN),
        Command(COMMAND),
    ]
