"""Model card: intended use, licences, limitations and reproduction."""

from fashion_lsh.report.blocks import Block, Command, Listing, Text
from fashion_lsh.report.phrases import describe_image_licence, describe_weights
from fashion_lsh.report.run_data import RunData

INTENDED_USE = (
    "Intended use: search a gallery indexed with this model for garments similar to the one in an image, and compare "
    "search methods. Out of scope: identifying or assessing people."
)
KNOWN_CATEGORIES_NOTE = (
    "Category scores also measure the classifier: a query with a wrong predicted category finds few garments of its "
    "own category. The method predicted_category shows the scores of the predicted category without codes."
)
UNSEEN_CATEGORIES_NOTE = (
    "The categories of queries and gallery are not in the training data: scores show how well the codes generalise to "
    "new categories. The model assigns such garments to a category of the training data, so inverted lists have no "
    "meaning here."
)
LIMITATIONS = (
    "Only the queries of this data set were evaluated; other shops, cameras, people and categories were not. An image "
    "of anything else is still assigned to one of the categories.",
    "Garments at the same Hamming distance are not ordered: scores of codes are expectations over all orders.",
    "Confidences are calibrated on val and apply to similar images only.",
    "Times were measured on this machine, one query at a time.",
)
RENDERED_ITEMS_NOTE = (
    "Items are re-rendered garments: item scores do not show how well two photographs of one product match."
)
TRAINING_GALLERY_NOTE = "The gallery is the training images: scores on unseen garments will be lower."
REPRODUCTION = (
    "To reproduce this run, use the same package version and data, and run this command in the project folder; RUN is "
    "the full path of the run folder."
)
COMMAND = (
    "fashion-lsh train --config-path RUN --config-name config hydra.run.dir=. hydra.output_subdir=null "
    "hydra/job_logging=stdout runs=again overwrite=false"
)


def card(run_data: RunData) -> list[Block]:
    """Build the model card: intended use, licences, limitations and the command to reproduce the run."""
    data = run_data.config["data"]
    rendered_items = [RENDERED_ITEMS_NOTE] if data["source"] == "shop_street" else []
    training_gallery = [TRAINING_GALLERY_NOTE] if data["gallery"] == "train" else []
    return [
        Text(INTENDED_USE),
        Text(f"Images: {describe_image_licence(data['source'])}"),
        Text(f"Weights: {describe_weights(run_data.config['backbone'])}"),
        Text("Limitations:"),
        Listing(
            [
                *training_gallery,
                *rendered_items,
                KNOWN_CATEGORIES_NOTE if run_data.has_known_categories else UNSEEN_CATEGORIES_NOTE,
                *LIMITATIONS,
            ]
        ),
        Text(REPRODUCTION),
        Command(COMMAND),
    ]
