"""Watch a picture being refined: one estimate after each step, saved side by side."""

from pathlib import Path

from PIL import Image

import refinesr

HERE = Path(__file__).parent
face = Image.open(HERE / "cat.jpg").crop((55, 30, 135, 90))
frames = [face.resize((4 * face.width, 4 * face.height), Image.Resampling.BICUBIC)]

for progress in refinesr.refine("photo-x4", face, steps=4, seed=1):
    moved = [abs(a - b) for a, b in zip(frames[-1].tobytes(), progress.image.tobytes(), strict=True)]
    print(f"step {progress.done} of {progress.total}: moved by {sum(moved) / len(moved):.2f} levels of 255")
    frames.append(progress.image)

strip = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
for place, frame in enumerate(frames):
    strip.paste(frame, (place * frame.width, 0))
strip.save(HERE / "cat-steps.png")
print(f"{HERE / 'cat-steps.png'}: bicubic, then the estimate after each step")
