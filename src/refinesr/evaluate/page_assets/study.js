// One pair after the other; answers leave the page only by the hand of whoever gave them.
const part = (id) => document.getElementById(id);
const study = JSON.parse(part("study").textContent);
const boxes = { left: part("left"), right: part("right") };
const low = part("low"); // null where it is not shown
const shown = [...Object.values(boxes).map((box) => box.firstElementChild), ...(low ? [low] : [])];

const random = (words) => crypto.getRandomValues(new Uint32Array(words));
const below = (number) => {
  const whole = Math.floor(2 ** 32 / number) * number; // of those beyond, some remainders were more frequent
  let word = random(1)[0];
  while (word >= whole) word = random(1)[0];
  return word % number;
};

const subject = [...random(4)].map((word) => word.toString(16).padStart(8, "0")).join("");
const trials = drawn(study.images.length, study.methods.length, study.trials, below);
const answers = [];
let since = 0;
let asking = false; // not before the pair is hidden

const room = () => ({
  width: document.documentElement.clientWidth - 32, // what stands around them
  height: document.documentElement.clientHeight - 220,
});
const reduced = (picture) => reduction(picture, shown.length, 24, room());
const warn = () => {
  part("narrow").hidden = study.images.every((picture) => reduced(picture) === 1);
};

const show = async () => {
  const trial = trials[answers.length];
  const picture = study.images[trial.image];
  const [left, right] = [picture.truth, picture.results[trial.method]];
  const sources = trial.truth === "left" ? [left, right] : [right, left];
  part("trial").className = "waiting";
  part("hint").textContent = "\u00a0";
  part("progress").textContent = `${answers.length + 1} of ${trials.length}`;
  const share = reduced(picture);
  [...sources, picture.low].slice(0, shown.length).forEach((source, place) => {
    shown[place].src = source;
    shown[place].style.width = share * picture.width + "px";
    shown[place].style.height = share * picture.height + "px";
  });
  await Promise.all(shown.map((image) => image.decode())); // both appear at once
  requestAnimationFrame(() => {
    part("trial").className = "showing";
    since = performance.now();
    setTimeout(hide, 1000 * study.seconds);
  });
};

const hide = () => {
  part("trial").className = "hidden";
  part("hint").textContent = "Left or right?";
  asking = true;
};

const choose = (side) => {
  if (!asking) return;
  asking = false;
  answers.push(answer(study, trials[answers.length], side, performance.now() - since));
  if (answers.length < trials.length) show();
  else end();
};

const keep = (event) => event.preventDefault(); // the browser asks before answers are lost

const begin = () => {
  part("introduction").hidden = true;
  part("trial").hidden = false;
  addEventListener("beforeunload", keep);
  show();
};

const end = () => {
  const { format, study: name, task } = study;
  const text = JSON.stringify({ format, study: name, task, subject, answers }, null, 1) + "\n";
  part("trial").hidden = true;
  part("end").hidden = false;
  part("answers").value = text;
  part("save").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  part("save").download = `answers-${subject}.json`;
};

const copy = async () => {
  part("answers").select(); // by hand, where the browser does not let the page
  const done = () => {
    removeEventListener("beforeunload", keep);
    return "Copied.";
  };
  const failed = () => "Press Ctrl+C to copy them.";
  const written = async () => navigator.clipboard.writeText(part("answers").value); // which is not everywhere
  part("copied").textContent = await written().then(done, failed);
};

part("begin").addEventListener("click", begin);
part("save").addEventListener("click", () => removeEventListener("beforeunload", keep));
part("copy").addEventListener("click", copy);
Object.entries(boxes).forEach(([side, box]) => box.addEventListener("click", () => choose(side)));
addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
  const other = event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
  if (!side || other || part("trial").hidden) return;
  event.preventDefault();
  choose(side);
});
addEventListener("resize", warn);
warn();
