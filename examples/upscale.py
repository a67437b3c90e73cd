"""Enlarge a photo four times: python examples/upscale.py [PHOTO]"""

import sys
from pathlib import Path

from PIL import Image

import refinesr

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("cat.jpg")
photo = Image.open(path).convert("RGB")

model = refinesr.load("photo-x4")
large = refinesr.upscale(model, photo, seed=0)

# consistency: the result, downsampled, equals the photo
again = large.resize(photo.size, Image.Resampling.BICUBIC)
equal = [a == b for a, b in zip(photo.tobytes(), again.tobytes(), strict=True)]

result = path.with_name(f"{path.stem}-large.png")
large.save(result)
share = sum(equal) / len(equal)
print(f"{result}: {large.width} x {large.height}; downsampled, {share:.2%} of its values equal the photo's")
