"""Small copies of the layouts of published data sets."""

from pathlib import Path

from tests.data.datasets.deepfashion.factories import row, save_images, write
from tests.data.datasets.test_deepfashion2 import make_garment, write_image

SETTINGS = {"workers": 0, "image_size": 32, "leaks": "report"}  # settings of GarmentData with split=official


def inshop_image(item: int, number: int) -> str:
    folder = "WOMEN/Dresses" if item % 2 else "MEN/Denim"
    return f"img/{folder}/id_{item:08}/{number:02}_1_front.jpg"


def write_inshop(root: Path, gallery_sizes: tuple[int, ...] = (3, 2)) -> Path:
    """Write an in-shop layout: 20 training items of 2 images; one query of item 101, 102, … with n gallery images."""
    statuses = {inshop_image(item, number): "train" for item in range(1, 21) for number in (1, 2)}
    for item, count in enumerate(gallery_sizes, start=101):
        statuses[inshop_image(item, 1)] = "query"
        statuses |= {inshop_image(item, number): "gallery" for number in range(2, count + 2)}
    save_images(root / "Img", *statuses)
    rows = [row(name, name.split("/")[3], status) for name, status in statuses.items()]
    write(root / "Eval/list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    boxes = [row(name, 3 if "WOMEN" in name else 2, 1, "065", "045", "233", "252") for name in statuses]
    write(root / "Anno/list_bbox_inshop.txt", "image_name  clothes_type  pose_type  x_1  y_1  x_2  y_2", boxes)
    return root


def write_consumer2shop(root: Path) -> Path:
    """Write a consumer-to-shop layout: 20 training items, 1 item of val, 1 item of test; one image pair each."""
    splits = dict.fromkeys(range(1, 21), "train") | {31: "val", 41: "test"}
    folder = {item: f"img/{'TOPS/T_Shirt' if item % 2 else 'DRESSES/Dress'}/id_{item:08}" for item in splits}
    images = [f"{folder[item]}/{name}_01.jpg" for item in splits for name in ("comsumer", "shop")]
    save_images(root / "Img", *images)
    pairs = [f"{folder[item]}/comsumer_01.jpg   {folder[item]}/shop_01.jpg  id_{item:08}  {split}"
             for item, split in splits.items()]  # fmt: skip
    write(root / "Eval/list_eval_partition.txt", "image_pair_name_1 image_pair_name_2 item_id evaluation_status", pairs)
    boxes = [row(name, 1 if "TOPS" in name else 3, 1 if "shop_" in name else 2, "010", "020", "100", "200")
             for name in images]  # fmt: skip
    write(root / "Anno/list_bbox_consumer2shop.txt", "image_name clothes_type source_type x_1 y_1 x_2 y_2", boxes)
    return root


def write_deepfashion2(root: Path) -> Path:
    """Write a DeepFashion2 layout: 10 training images of each view; the validation images below.

    Images of 60 x 80 pixels. Queries: 1 has items 1/1 (skirt) and 1/0 (style 0), 2 has 2/1 (shorts), 3 has 3/1 (skirt).
    Gallery: 11 has 1/1 and, at the same place, 1/2, 12 has 3/1, 13 has 9/1 (skirts), 14 has 2/1 (shorts).
    """
    left, right = (2, 2, 28, 70), (32, 2, 58, 70)
    for number in range(1, 11):
        write_image(root, "train", 2 * number, "user", 100 + number, item1=make_garment(1, left))
        write_image(root, "train", 2 * number + 1, "shop", 100 + number, item1=make_garment(1, left, "shorts"))
    write_image(root, "validation", 1, "user", 1, item1=make_garment(1, left), item2=make_garment(0, right))
    write_image(root, "validation", 2, "user", 2, item1=make_garment(1, left, "shorts"))
    write_image(root, "validation", 3, "user", 3, item1=make_garment(1, left))
    write_image(root, "validation", 11, "shop", 1, item1=make_garment(1, left), item2=make_garment(2, left))
    write_image(root, "validation", 12, "shop", 3, item1=make_garment(1, left))
    write_image(root, "validation", 13, "shop", 9, item1=make_garment(1, left))
    write_image(root, "validation", 14, "shop", 2, item1=make_garment(1, right, "shorts"))
    return root
