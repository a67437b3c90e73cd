// Photos are sent to the program that served this page, which works on one after the other.
const part = (id) => document.getElementById(id);
const ASKED = 300; // milliseconds between two questions how far a photo is; more where others come before it
const SMALL = 112; // pixels of height of a photo in the list
const OVER = ["done", "failed", "cancelled"];

const photos = []; // newest first
let chosen = null; // the one in the viewer
let actual = false;

const ask = async (path, options) => {
  const answer = await fetch(path, options);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Error(said.message ?? `${answer.status} ${answer.statusText}`);
};

// What is asked for

const FROM_TEXT = { steps: Number, fidelity: Number, orientations: Number, seed: Number, ext: String, consistent: (text) => text === "true" };

const NAMES = { orientations: "looks", consistent: "keep", ext: "as" };

const wish = () => {
  const given = [...new FormData(part("wish"))].filter(([, text]) => text !== "");
  return Object.fromEntries(given.map(([name, text]) => [name, FROM_TEXT[name](text)]));
};

// Photos

const add = (file, asked) => {
  const element = part("item").content.firstElementChild.cloneNode(true);
  const photo = { file, asked, element, key: null, state: "sending", report: {}, removed: false };
  photos.unshift(photo);
  part("list").prepend(element);
  element.querySelector(".name").textContent = file.name;
  element.querySelector(".show").addEventListener("click", () => choose(photo));
  element.querySelector(".drop").addEventListener("click", () => remove(photo));
  element.querySelector(".drop").ariaLabel = `Remove ${file.name}`;
  document.body.classList.add("busy");
  choose(photo);
  return photo;
};

const send = async (photo) => {
  if (photo.removed) return;
  await photo.file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error("cannot be read; folders cannot be sent");
  });
  const query = new URLSearchParams({ name: photo.file.name, wish: JSON.stringify(photo.asked) });
  const headers = { "content-type": "application/octet-stream" };
  ({ key: photo.key } = await ask(`jobs?${query}`, { method: "POST", headers, body: photo.file }));
};

let before = Promise.resolve(); // all that were sent before; a small photo would overtake a large one else

const follow = async (photo) => {
  const sent = before.then(() => send(photo));
  before = sent.catch(() => {});
  try {
    await sent;
    while (!OVER.includes(photo.state) && !photo.removed) {
      const { state, ...report } = await ask(`jobs/${photo.key}`);
      Object.assign(photo, { state, report });
      show(photo);
      const pause = ASKED * Math.min(1 + report.ahead, 10);
      if (!OVER.includes(state)) await new Promise((resolve) => setTimeout(resolve, pause));
    }
    if (photo.state === "done") drawSmall(photo).catch(() => {}); // it may have been removed meanwhile
  } catch (error) {
    const lost = error instanceof TypeError; // what fetch throws where nobody answers
    const message = lost ? "the program does not answer; is it still running?" : error.message;
    Object.assign(photo, { state: "failed", report: { message } });
    show(photo);
  }
  if (photo.removed) forget(photo);
  else part("news").textContent = `${photo.file.name}: ${words(photo)}`;
};

const forget = (photo) => {
  if (photo.key) ask(`jobs/${photo.key}`, { method: "DELETE" }).catch(() => {}); // it may be gone already
};

const remove = (photo) => {
  photo.removed = true;
  photos.splice(photos.indexOf(photo), 1);
  photo.element.remove();
  if (OVER.includes(photo.state)) forget(photo);
  if (chosen === photo) choose(photos[0] ?? null);
  document.body.classList.toggle("busy", photos.length > 0);
};

const extent = ([height, width]) => `${width} × ${height}`;

const settings = ({ asked }) => {
  const named = Object.entries(asked).filter(([name, value]) => !(name === "seed" && value === 0) && !(name === "ext" && value === "png"));
  return named.map(([name, value]) => `, ${NAMES[name] ?? name} ${value}`).join("");
};

const words = ({ state, report }) => {
  if (state === "waiting") return report.ahead ? `waiting, ${report.ahead} before it` : "waiting";
  if (state === "working") return report.done < report.total ? `${Math.floor((100 * report.done) / report.total)} %` : "finishing";
  if (state === "done") return `${extent(report.size)}, ${report.seconds.toFixed(1)} s${report.warning ? ", with a warning" : ""}`;
  return report.message ?? state;
};

const drawSmall = async ({ key, element }) => {
  const answer = await fetch(`jobs/${key}/before`); // no img, which would keep the whole photo
  const bitmap = await createImageBitmap(await answer.blob(), { resizeHeight: SMALL, resizeQuality: "medium" });
  const canvas = element.querySelector("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
};

const show = (photo) => {
  const { element, state, report } = photo;
  const bar = element.querySelector("progress");
  element.classList.toggle("failed", state === "failed");
  element.querySelector(".state").textContent = words(photo) + (state === "failed" ? "" : settings(photo));
  bar.hidden = OVER.includes(state);
  if (state === "working" && report.done < report.total) bar.value = report.done / report.total;
  else bar.removeAttribute("value");
  if (photo === chosen) view(photo);
};

// The viewer

const choose = (photo) => {
  chosen = photo;
  photos.forEach((each) => each.element.classList.toggle("chosen", each === photo));
  part("viewer").hidden = true;
  if (photo) show(photo);
};

const source = (image, path) => {
  if (image.getAttribute("src") !== path) image.src = path;
};

const view = (photo) => {
  const { key, state, report } = photo;
  const seen = state === "done" ? "after" : report.estimate ? `estimate?${report.estimate}` : null;
  part("viewer").hidden = !seen && state !== "failed"; // what has failed can be tried again
  ["frame", "sides", "told", "save", "actual", "another"].forEach((id) => (part(id).hidden = !seen));
  part("warned").hidden = !report.warning;
  part("warned").textContent = report.warning ? `Warning: ${report.warning}.` : "";
  if (!seen) return;
  source(part("before"), `jobs/${key}/before`);
  source(part("after"), `jobs/${key}/${seen}`);
  part("right").textContent = state === "done" ? "Result" : `Step ${report.estimate}`;
  part("told").textContent = state === "done" ? told(photo) : `${photo.file.name}: being refined`;
  part("save").href = `jobs/${key}/result`;
  part("save").hidden = state !== "done";
  part("save").textContent = state === "done" ? `Save ${report.name}` : "";
  place();
};

const told = ({ file, report }) => {
  const bytes = report.bytes < 1e6 ? `${Math.round(report.bytes / 1e3)} kB` : `${(report.bytes / 1e6).toFixed(1)} MB`;
  const sizes = `${file.name}: ${extent(report.from)} → ${extent(report.size)}, ${bytes}, ${report.seconds.toFixed(1)} s.`;
  if (report.agreement === null) return sizes;
  return `${sizes} Made small again, ${(100 * report.agreement).toFixed(2)} % of its values are the photo's.`;
};

const place = () => {
  if (!chosen?.report.size) return; // nothing has come yet
  const [height, width] = chosen.report.size;
  const fitting = Math.min(part("frame").clientWidth / width, (0.76 * innerHeight) / height, 4);
  const share = actual ? 1 / devicePixelRatio : fitting;
  part("pair").style.width = `${width * share}px`;
  part("pair").style.height = `${height * share}px`;
};

const split = (percent) => {
  part("split").value = percent;
  part("pair").style.setProperty("--at", `${part("split").value}%`);
};

const drag = (event) => {
  const { left, width } = part("pair").getBoundingClientRect();
  split((100 * (event.clientX - left)) / width);
};

part("pair").addEventListener("pointerdown", (event) => {
  part("pair").setPointerCapture(event.pointerId);
  drag(event);
});
part("pair").addEventListener("pointermove", (event) => {
  if (part("pair").hasPointerCapture(event.pointerId)) drag(event);
});
part("pair").addEventListener("dragstart", (event) => event.preventDefault());
part("split").addEventListener("input", () => split(part("split").value));
addEventListener("resize", place);

part("actual").addEventListener("click", () => {
  actual = !actual;
  part("actual").setAttribute("aria-pressed", String(actual));
  part("frame").classList.toggle("actual", actual);
  place();
});
part("again").addEventListener("click", () => take([chosen.file]));
part("another").addEventListener("click", () => {
  const seed = (chosen.asked.seed ?? 0) + 1;
  part("wish").elements.seed.value = seed;
  follow(add(chosen.file, { ...chosen.asked, seed }));
});

// Ways in

const take = (files) => {
  if (!part("wish").checkValidity()) part("how").open = true; // else nobody would see what is wrong
  if (!part("wish").reportValidity()) return;
  const added = [...files].reverse().map((file) => add(file, wish())); // the first one is chosen, and listed first
  added.reverse().forEach(follow);
};

part("files").addEventListener("change", () => {
  take(part("files").files);
  part("files").value = ""; // so that the same file can be chosen again
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("pagehide", () => {
  photos.filter(({ key }) => key).forEach(({ key }) => fetch(`jobs/${key}`, { method: "DELETE", keepalive: true }));
});

// What the page says of the model; by then all else works

const model = await (await fetch("model")).json();
const times = { 1: "at its size", 2: "twice as large", 3: "three times as large", 4: "four times as large" };
const step = model.steps === 1 ? "one step" : `${model.steps} steps`;
part("about").textContent = `${model.name} makes photos ${times[model.scale] ?? `${model.scale} times as large`}, in ${step} if not told otherwise.`;
const here = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
part("where").textContent = here ? "stay on this computer" : `are sent to ${location.host}, and nowhere else`;
document.querySelectorAll("[data-asks]").forEach((label) => {
  label.hidden = !model.asks[label.dataset.asks];
});
