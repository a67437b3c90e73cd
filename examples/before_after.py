"""Make the README's picture: bicubic, photo-x4, original.  Needs scikit-image for its photo (CC0)."""

from pathlib import Path

from PIL import Image
from skimage.data import chelsea

import refinesr

BOX = (30, 13, 90, 63)  # left, top, right, bottom in the small picture

truth = Image.fromarray(chelsea()).crop((0, 0, 448, 300))
small = truth.resize((112, 75), Image.Resampling.BICUBIC)
columns = [
    small.resize(truth.size, Image.Resampling.BICUBIC),
    refinesr.upscale("photo-x4", small, seed=0, precision="fp32"),
    truth,
]
left, top, right, bottom = (4 * side for side in BOX)
sheet = Image.new("RGB", (3 * (right - left) + 16, bottom - top), "white")
for k, picture in enumerate(columns):
    sheet.paste(picture.crop((left, top, right, bottom)), (k * (right - left + 8), 0))
path = Path("docs/pictures/cat.png")
path.parent.mkdir(parents=True, exist_ok=True)
sheet.save(path, optimize=True)
print(f"{path}: {sheet.width} x {sheet.height}")
