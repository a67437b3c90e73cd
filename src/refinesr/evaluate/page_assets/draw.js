"use strict";
// What a subject is shown.  below(n): a random whole number from 0 to n - 1.

function shuffled(things, below) {
  const all = [...things];
  for (let last = all.length - 1; last > 0; last--) {
    const other = below(last + 1);
    [all[last], all[other]] = [all[other], all[last]];
  }
  return all;
}

// `count` of `images` pictures, none twice; each of `methods` as often as any other, give or take once.
function drawn(images, methods, count, below) {
  const turns = shuffled(Array(methods).keys(), below);
  const balanced = Array.from({ length: count }, (_, place) => turns[place % methods]);
  const order = shuffled(balanced, below);
  return shuffled(Array(images).keys(), below)
    .slice(0, count)
    .map((image, place) => ({ image, method: order[place], truth: below(2) ? "left" : "right" }));
}

// What is kept of a choice.
function answer(study, trial, side, milliseconds) {
  return {
    image: study.images[trial.image].name,
    method: study.methods[trial.method],
    chose: side === trial.truth ? "truth" : "method",
    side,
    milliseconds: Math.round(milliseconds),
  };
}

// By how much pictures that stand in a row, `gap` apart, must be reduced to find room; 1 if not at all.
function reduction(picture, number, gap, room) {
  const across = (room.width - gap * (number - 1)) / (number * picture.width);
  return Math.min(1, across, room.height / picture.height);
}
