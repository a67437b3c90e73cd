"""Train a tiny model from random weights on drawn pictures, in a few seconds, and apply it."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import refinesr
from refinesr.data import load_photos
from refinesr.recipes import RECIPES, tiny
from refinesr.run import training_pairs
from refinesr.train import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
dice = torch.Generator().manual_seed(0)
(folder / "drawn").mkdir(parents=True, exist_ok=True)
for number in range(12):
    page = Image.new("RGB", (96, 96), "white")
    for x, y, size, *colour in torch.randint(96, (30, 6), generator=dice).tolist():
        ImageDraw.Draw(page).ellipse((x, y, x + size, y + size), tuple(2 * c for c in colour))
    page.save(folder / "drawn" / f"{number}.png")

run = tiny(RECIPES["photo-x4-small"]())
run = replace(run, plan=replace(run.plan, steps=120, batch=8, rate=3e-3, save_every=120, preview_every=120))
photos = load_photos(folder / "drawn", torch.device("cpu"), smallest=run.plan.size)
for report in train(run, training_pairs(run, photos), folder / "run", device=torch.device("cpu")):
    if report.step % 30 == 0:
        print(f"update {report.step}: loss {float(report.loss):.4f}")

model = refinesr.load(folder / "run")
page.resize((24, 24), Image.Resampling.BICUBIC).save(folder / "small.png")
refinesr.upscale(model, Image.open(folder / "small.png"), precision="fp32").save(folder / "large.png")
print(f"{folder}/run/previews/0000120.png: bicubic, estimate, original")
print(f"{folder}/large.png: the model's result for {folder}/small.png; the original is drawn/11.png")
