"""Save the estimate after each sampling step, side by side."""

from pathlib import Path

from PIL import Image

import refinesr

HERE = Path(__file__).parent
face = Image.open(HERE / "cat.jpg").crop((55, 30, 135, 90))
frames = [face.resize((4 * face.width, 4 * face.height), Image.Resampling.BICUBIC)]

for progress in refinesr.refine("photo-x4", face, steps=4, seed=1):
    changes = [abs(a - b) for a, b in zip(frames[-1].tobytes(), progress.image.tobytes(), strict=True)]
    print(f"step {progress.done} of {progress.total}: mean change {sum(changes) / len(changes):.2f} of 255")
    frames.append(progress.image)

strip = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
for place, frame in enumerate(frames):
    strip.paste(frame, (place * frame.width, 0))
strip.save(HERE / "cat-steps.png")
print(f"{HERE / 'cat-steps.png'}: bicubic, then the estimate after each step")
