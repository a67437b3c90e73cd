// The page of `refinesr serve`: photos are sent to the program that served it, which upscales one after the other.
const byId = (id) => document.getElementById(id);
const POLL_INTERVAL = 300; // milliseconds between two requests for a photo's state; longer if others come before it
const THUMBNAIL_HEIGHT = 112; // in pixels
const FINISHED = ["done", "failed", "cancelled"];

const photos = []; // newest first
let selected = null; // the one in the viewer
let actualPixels = false;

const request = async (path, options) => {
  const response = await fetch(path, options);
  if (response.ok) return response.status === 204 ? null : response.json();
  const { message } = await response.json().catch(() => ({}));
  throw new Error(message ?? `${response.status} ${response.statusText}`);
};

// Settings of the next photos

const PARSERS = { steps: Number, fidelity: Number, orientations: Number, seed: Number, ext: String, consistent: (text) => text === "true" };

const SETTING_NAMES = { ext: "as" };

const currentSettings = () => {
  const entries = [...new FormData(byId("settings"))].filter(([, text]) => text !== "");
  return Object.fromEntries(entries.map(([name, text]) => [name, PARSERS[name](text)]));
};

// Photos

const add = (file, settings) => {
  const element = byId("item").content.firstElementChild.cloneNode(true);
  const photo = { file, settings, element, key: null, state: "sending", report: {}, removed: false };
  photos.unshift(photo);
  byId("list").prepend(element);
  element.querySelector(".name").textContent = file.name;
  element.querySelector(".show").addEventListener("click", () => select(photo));
  element.querySelector(".drop").addEventListener("click", () => remove(photo));
  element.querySelector(".drop").ariaLabel = `Remove ${file.name}`;
  document.body.classList.add("busy");
  select(photo);
  return photo;
};

const send = async (photo) => {
  if (photo.removed) return;
  await photo.file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error("cannot be read; folders cannot be sent");
  });
  const query = new URLSearchParams({ name: photo.file.name, settings: JSON.stringify(photo.settings) });
  const headers = { "content-type": "application/octet-stream" };
  ({ key: photo.key } = await request(`jobs?${query}`, { method: "POST", headers, body: photo.file }));
};

let uploads = Promise.resolve(); // photos are uploaded one after the other, so that they stay in order

const follow = async (photo) => {
  const upload = uploads.then(() => send(photo));
  uploads = upload.catch(() => {});
  try {
    await upload;
    while (!FINISHED.includes(photo.state) && !photo.removed) {
      const { state, ...report } = await request(`jobs/${photo.key}`);
      Object.assign(photo, { state, report });
      update(photo);
      const pause = POLL_INTERVAL * Math.min(1 + report.ahead, 10);
      if (!FINISHED.includes(state)) await new Promise((resolve) => setTimeout(resolve, pause));
    }
    if (photo.state === "done") drawThumbnail(photo).catch(() => {}); // it may have been removed meanwhile
  } catch (error) {
    const unreachable = error instanceof TypeError; // thrown by fetch if there is no response
    const message = unreachable ? "the program does not answer; is it still running?" : error.message;
    Object.assign(photo, { state: "failed", report: { message } });
    update(photo);
  }
  if (photo.removed) cancel(photo);
  else byId("news").textContent = `${photo.file.name}: ${statusText(photo)}`;
};

const cancel = (photo) => {
  if (photo.key) request(`jobs/${photo.key}`, { method: "DELETE" }).catch(() => {}); // it may have been removed already
};

const remove = (photo) => {
  photo.removed = true;
  photos.splice(photos.indexOf(photo), 1);
  photo.element.remove();
  if (FINISHED.includes(photo.state)) cancel(photo);
  if (selected === photo) select(photos[0] ?? null);
  document.body.classList.toggle("busy", photos.length > 0);
};

const sizeText = ([height, width]) => `${width} × ${height}`;

const settingsText = ({ settings }) => {
  const changed = Object.entries(settings).filter(([name, value]) => !(name === "seed" && value === 0) && !(name === "ext" && value === "png"));
  return changed.map(([name, value]) => `, ${SETTING_NAMES[name] ?? name} ${value}`).join("");
};

const statusText = ({ state, report }) => {
  if (state === "waiting") return report.ahead ? `waiting, ${report.ahead} before it` : "waiting";
  if (state === "working") return report.done < report.total ? `${Math.floor((100 * report.done) / report.total)} %` : "finishing";
  if (state === "done") return `${sizeText(report.size)}, ${report.seconds.toFixed(1)} s${report.warning ? ", with a warning" : ""}`;
  return report.message ?? state;
};

const drawThumbnail = async ({ key, element }) => {
  const response = await fetch(`jobs/${key}/before`); // an img would keep the full-size photo in memory
  const bitmap = await createImageBitmap(await response.blob(), { resizeHeight: THUMBNAIL_HEIGHT, resizeQuality: "medium" });
  const canvas = element.querySelector("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
};

const update = (photo) => {
  const { element, state, report } = photo;
  const bar = element.querySelector("progress");
  element.classList.toggle("failed", state === "failed");
  element.querySelector(".state").textContent = statusText(photo) + (state === "failed" ? "" : settingsText(photo));
  bar.hidden = FINISHED.includes(state);
  if (state === "working" && report.done < report.total) bar.value = report.done / report.total;
  else bar.removeAttribute("value");
  if (photo === selected) updateViewer(photo);
};

// The viewer

const select = (photo) => {
  selected = photo;
  photos.forEach((each) => each.element.classList.toggle("selected", each === photo));
  byId("viewer").hidden = true;
  if (photo) update(photo);
};

const setSource = (image, path) => {
  if (image.getAttribute("src") !== path) image.src = path;
};

const updateViewer = (photo) => {
  const { key, state, report } = photo;
  const shown = state === "done" ? "after" : report.estimate ? `estimate?${report.estimate}` : null;
  byId("viewer").hidden = !shown && state !== "failed"; // a failed photo can be tried again
  ["frame", "sides", "summary", "save", "actual", "another"].forEach((id) => (byId(id).hidden = !shown));
  byId("warning").hidden = !report.warning;
  byId("warning").textContent = report.warning ? `Warning: ${report.warning}.` : "";
  if (!shown) return;
  setSource(byId("before"), `jobs/${key}/before`);
  setSource(byId("after"), `jobs/${key}/${shown}`);
  byId("right").textContent = state === "done" ? "Result" : `Step ${report.estimate}`;
  byId("summary").textContent = state === "done" ? summary(photo) : `${photo.file.name}: being refined`;
  byId("save").href = `jobs/${key}/result`;
  byId("save").hidden = state !== "done";
  byId("save").textContent = state === "done" ? `Save ${report.name}` : "";
  fitViewer();
};

const summary = ({ file, report }) => {
  const bytes = report.bytes < 1e6 ? `${Math.round(report.bytes / 1e3)} kB` : `${(report.bytes / 1e6).toFixed(1)} MB`;
  const sizes = `${file.name}: ${sizeText(report.from)} → ${sizeText(report.size)}, ${bytes}, ${report.seconds.toFixed(1)} s.`;
  if (report.agreement === null) return sizes;
  return `${sizes} When downsampled, ${(100 * report.agreement).toFixed(2)} % of its values equal the photo's.`;
};

const fitViewer = () => {
  if (!selected?.report.size) return; // no result or estimate yet
  const [height, width] = selected.report.size;
  const fit = Math.min(byId("frame").clientWidth / width, (0.76 * innerHeight) / height, 4);
  const factor = actualPixels ? 1 / devicePixelRatio : fit;
  byId("pair").style.width = `${width * factor}px`;
  byId("pair").style.height = `${height * factor}px`;
};

const moveSplit = (percent) => {
  byId("split").value = percent;
  byId("pair").style.setProperty("--at", `${byId("split").value}%`);
};

const drag = (event) => {
  const { left, width } = byId("pair").getBoundingClientRect();
  moveSplit((100 * (event.clientX - left)) / width);
};

byId("pair").addEventListener("pointerdown", (event) => {
  byId("pair").setPointerCapture(event.pointerId);
  drag(event);
});
byId("pair").addEventListener("pointermove", (event) => {
  if (byId("pair").hasPointerCapture(event.pointerId)) drag(event);
});
byId("pair").addEventListener("dragstart", (event) => event.preventDefault());
byId("split").addEventListener("input", () => moveSplit(byId("split").value));
addEventListener("resize", fitViewer);

byId("actual").addEventListener("click", () => {
  actualPixels = !actualPixels;
  byId("actual").setAttribute("aria-pressed", String(actualPixels));
  byId("frame").classList.toggle("actual", actualPixels);
  fitViewer();
});
byId("again").addEventListener("click", () => addFiles([selected.file]));
byId("another").addEventListener("click", () => {
  const seed = (selected.settings.seed ?? 0) + 1;
  byId("settings").elements.seed.value = seed;
  follow(add(selected.file, { ...selected.settings, seed }));
});

// Adding photos

const addFiles = (files) => {
  if (!byId("settings").checkValidity()) byId("details").open = true; // to show which setting is invalid
  if (!byId("settings").reportValidity()) return;
  const added = [...files].reverse().map((file) => add(file, currentSettings())); // the first is selected and listed first
  added.reverse().forEach(follow);
};

byId("files").addEventListener("change", () => {
  addFiles(byId("files").files);
  byId("files").value = ""; // so that the same file can be selected again
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
  addFiles(event.dataTransfer.files);
});
addEventListener("paste", (event) => addFiles(event.clipboardData.files));
addEventListener("pagehide", () => {
  photos.filter(({ key }) => key).forEach(({ key }) => fetch(`jobs/${key}`, { method: "DELETE", keepalive: true }));
});

// The model: fetched last, as photos can be added before it is known

const model = await (await fetch("model")).json();
const times = { 1: "at the same size", 2: "twice as large", 3: "three times as large", 4: "four times as large" };
const steps = model.steps === 1 ? "one step" : `${model.steps} steps`;
byId("about").textContent = `${model.name} makes photos ${times[model.scale] ?? `${model.scale} times as large`}, in ${steps} by default.`;
const local = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
byId("where").textContent = local ? "stay on this computer" : `are sent to ${location.host}, and nowhere else`;
document.querySelectorAll("[data-setting]").forEach((label) => {
  label.hidden = !model.adjustable[label.dataset.setting];
});
