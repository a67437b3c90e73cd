"""Small reports of evaluations, as `refinesr evaluate` writes them, without evaluating anything."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

METRICS: dict[str, Any] = {
    "psnr": {"title": "PSNR", "better": "higher", "convention": "of all channels", "unit": "dB"},
    "lpips": {"title": "LPIPS", "better": "lower", "convention": "a stand-in: mean difference", "unit": ""},
}


def scene(height: int = 48, width: int = 64, seed: int = 0) -> Pixels:
    """Smooth at first sight, and no two rows alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def noisy(pixels: Pixels, levels: float, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, levels, pixels.shape)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def scores(truth: Pixels, other: Pixels) -> dict[str, Any]:
    error = truth / 255 - other / 255
    mse = float((error**2).mean())
    return {"psnr": -10 * math.log10(mse) if mse else "inf", "lpips": float(np.abs(error).mean())}


def report_of(
    folder: Path, truths: Mapping[str, Pixels], made: Mapping[str, Mapping[str, Pixels]], **changes: Any
) -> Path:
    """Write it, with its pictures; `changes` replace entries of report.json."""
    low = {name: truth[::4, ::4] for name, truth in truths.items()}
    for method, pictures in {**made, "high": truths, "low": low}.items():
        (folder / "pictures" / method).mkdir(parents=True, exist_ok=True)
        for name, pixels in pictures.items():
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "pictures" / method / f"{name}.png")
    images = [
        {
            "name": name,
            "height": truth.shape[0],
            "width": truth.shape[1],
            "scores": {method: scores(truth, pictures[name]) for method, pictures in made.items()},
        }
        for name, truth in truths.items()
    ]
    facts = {
        "format": "refinesr-report-1",
        "protocol": {"name": "classic-y", "conventions": ["scale 4"]},
        "data": "drawn",
        "methods": [row(method, images) for method in made],
        "metrics": METRICS,
        "published": [],
        "pairs": [],
        "images": images,
    }
    (folder / "report.json").write_text(json.dumps(facts | changes), encoding="utf-8")
    return folder


def row(method: str, images: list[Any], calls: int | None = None) -> dict[str, Any]:
    values = {key: [float(image["scores"][method][key]) for image in images] for key in METRICS}
    metrics = {
        key: {
            "mean": text(np.mean(found)),
            "low": text(min(found)),
            "high": text(max(found)),
            "count": len(found),
        }
        for key, found in values.items()
    }
    return {"name": method, "kind": "model", "calls": calls, "seed": None, "samples": 1, "metrics": metrics}


def text(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(value)
