// The playground: one image, turned and scaled, and what every version of a model says about it.

import { depth, drawCrops, drawFrame } from "./drawing.js";
import { heads, isRecord, tell } from "./telling.js";

const at = (id) => document.getElementById(id);
const scene = at("scene");
const SIDE = 448; // Of the scene's longer side, in pixels.
const QUIET = 80; // Milliseconds after the last change before the server is asked.
const FREE = 224; // The side of the scene, where a model reads images of any size.
// What an output of another origin than stn-tf is taken for, by its name.
const ASSUMED = { reads_images: true, corners: "corners", crops: "crops" };

let models = [];
let image = null; // What was opened: an ImageBitmap. Strokes lie above it.
let strokes = []; // Lines of points in the image's own place: before it is turned and scaled.
let pending = null;
let timer = 0;

// ---- The server -------------------------------------------------------------------------------

function headers(more = {}) {
  const key = at("key").value;
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ?? answer.statusText);
  return content;
}

const place = (model, version) =>
  `v1/models/${encodeURIComponent(model.name)}/versions/${version.version}`;

async function predict(model, version, png, signature, signal) {
  const query = signature ? `?signature_name=${signature}` : "";
  const options = { method: "POST", body: png, headers: { "Content-Type": "image/png" }, signal };
  return (await ask(`${place(model, version)}:predict${query}`, options)).predictions[0];
}

// ---- The scene --------------------------------------------------------------------------------

const slider = (id) => Number(at(id).value);

function toScene() {
  const matrix = new DOMMatrix();
  matrix.translateSelf(
    scene.width * (0.5 + slider("right") / 100),
    scene.height * (0.5 + slider("down") / 100),
  );
  matrix.rotateSelf(slider("turn"));
  const scale = slider("scale") / 100;
  matrix.scaleSelf(scale, scale);
  return matrix.translateSelf(-scene.width / 2, -scene.height / 2);
}

function paint() {
  const context = scene.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, scene.width, scene.height);
  context.setTransform(toScene());
  if (image) {
    const fit = Math.min(scene.width / image.width, scene.height / image.height);
    const [width, height] = [image.width * fit, image.height * fit];
    context.imageSmoothingQuality = "high";
    context.drawImage(image, (scene.width - width) / 2, (scene.height - height) / 2, width, height);
  }
  Object.assign(context, { strokeStyle: "#fff", lineCap: "round", lineJoin: "round" });
  context.lineWidth = Math.min(scene.width, scene.height) / 11;
  for (const line of strokes) {
    context.beginPath();
    context.moveTo(line[0].x, line[0].y);
    for (const point of line) context.lineTo(point.x, point.y);
    context.stroke();
  }
  at("hint").hidden = Boolean(image) || strokes.length > 0;
  for (const [id, unit] of [["turn", "°"], ["scale", " %"], ["right", " %"], ["down", " %"]]) {
    document.querySelector(`output[for=${id}]`).textContent = at(id).value + unit;
  }
}

function changed() {
  paint();
  clearTimeout(timer);
  timer = setTimeout(answerAll, QUIET);
}

function pointOf(event) {
  const box = scene.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * scene.width;
  const y = ((event.clientY - box.top) / box.height) * scene.height;
  return new DOMPoint(x, y).matrixTransform(toScene().inverse());
}

async function open(file) {
  try {
    image = await createImageBitmap(file);
    strokes = [];
    changed();
  } catch {
    say(`${file.name} is no image that this browser can read.`, true);
  }
}

// ---- The answers ------------------------------------------------------------------------------

const chosen = () => models.find((model) => model.name === at("model").value);
const served = (model) => model.versions.filter((version) => version.state === "AVAILABLE");

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
}

async function answerAll() {
  const model = chosen();
  if (!model) return;
  pending?.abort();
  pending = new AbortController();
  const { signal } = pending;
  const png = await new Promise((done) => scene.toBlob(done, "image/png"));
  if (signal.aborted) return;
  URL.revokeObjectURL(at("download").href);
  at("download").href = URL.createObjectURL(png);
  await Promise.all(served(model).map((version) => answer(model, version, png, signal)));
}

async function answer(model, version, png, signal) {
  const card = at(`version-${version.version}`);
  const error = card.querySelector(".error");
  try {
    const crops = showsCrops(version);
    const [row, crop] = await Promise.all([
      predict(model, version, png, "", signal),
      crops ? predict(model, version, png, "rectify", signal) : null,
    ]);
    const said = isRecord(row) ? row : { [heads(version)[0]?.name ?? ""]: row };
    const shown = transformer(version);
    const corners = shown?.reads_images ? said[shown.corners] : null;
    drawLook(card.querySelector(".look"), corners, shown?.transform);
    card.querySelector(".seen").hidden = !crop;
    if (crop) {
      const values = isRecord(crop) ? crop[shown?.crops] : crop;
      drawCrops(card.querySelector(".crop"), values, shown?.reads_images ? version.input : null);
    }
    tell(card, version, said);
    error.textContent = "";
  } catch (problem) {
    if (!signal.aborted) error.textContent = problem.message;
  }
}

// Of a version's transformers the first that reads the image, else the first.
function transformer(version) {
  if (!version.transformers) return ASSUMED;
  return version.transformers.find((one) => one.reads_images) ?? version.transformers[0];
}

// A model without transformers may have a signature of its own by that name.
const showsCrops = (version) => transformer(version) && version.signatures.includes("rectify");

function drawLook(canvas, corners, transform) {
  canvas.width = scene.width;
  canvas.height = scene.height;
  const context = canvas.getContext("2d");
  context.drawImage(scene, 0, 0);
  if (!corners) return;
  const scale = Math.max(scene.width, scene.height) / SIDE;
  const frames = depth(corners) > 2 ? corners : [corners];
  for (const frame of frames) drawFrame(context, frame, transform, scale);
}

// ---- The page ---------------------------------------------------------------------------------

// Height and width to each other: a side that is free is as long as the other.
function sceneSize(input) {
  const [height, width] = [input?.height, input?.width];
  return [height ?? width ?? 1, width ?? height ?? 1];
}

function choose() {
  const model = chosen();
  const versions = model ? served(model) : [];
  at("answers").replaceChildren(
    ...versions.map((version) => {
      const card = at("version").content.cloneNode(true).firstElementChild;
      card.id = `version-${version.version}`;
      const labels = Object.keys(model.labels).filter((name) => model.labels[name] === version.version);
      card.querySelector("h2").textContent = ["Version " + version.version, ...labels].join(" · ");
      card.querySelector(".seen").hidden = !showsCrops(version);
      card.querySelector(".pictures").hidden = !transformer(version);
      return card;
    }),
  );
  const input = versions.find((version) => version.input)?.input;
  const [height, width] = sceneSize(input);
  const side = input && (input.height ?? input.width) === null ? FREE : SIDE;
  scene.height = Math.round((side * height) / Math.max(height, width));
  scene.width = Math.round((side * width) / Math.max(height, width));
  const newest = versions[0];
  if (!model) say("No model is served.", true);
  else if (!newest) say(`No version of ${model.name} is available.`, true);
  else if (!input) say(`${model.name} takes no images; the page shows what it says of images.`, true);
  else if (!input.range) {
    say(`The range of ${model.name} is unknown: export it again with --input-range.`, true);
  } else if (input.height && input.width) say(`${model.name} reads ${width} × ${height} pixels.`);
  else say(`${model.name} reads images of any size; this one has ${scene.width} × ${scene.height} pixels.`);
  if (newest) {
    const url = new URL(`${place(model, newest)}:predict`, document.baseURI);
    const key = at("key").value ? " -H 'Authorization: Bearer KEY'" : "";
    at("curl").textContent =
      `curl -H 'Content-Type: image/png'${key} --data-binary @image.png '${url}'`;
  }
  changed();
}

async function load() {
  try {
    ({ models } = await ask("v1/models"));
  } catch (problem) {
    models = [];
    at("model").replaceChildren();
    at("answers").replaceChildren();
    return say(problem.message, true);
  }
  const before = at("model").value;
  at("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
  if (models.some(({ name }) => name === before)) at("model").value = before;
  choose();
}

at("model").addEventListener("change", choose);
at("key").addEventListener("change", load);
for (const id of ["turn", "scale", "right", "down"]) at(id).addEventListener("input", changed);
at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // The same file may be chosen again.
  if (file) open(file);
});
at("clear").addEventListener("click", () => {
  [image, strokes] = [null, []];
  for (const [id, value] of [["turn", 0], ["scale", 100], ["right", 0], ["down", 0]]) at(id).value = value;
  changed();
});
at("copy").addEventListener("click", () => {
  getSelection().selectAllChildren(at("curl"));
  document.execCommand("copy"); // The newer way works over HTTPS only.
});

scene.addEventListener("pointerdown", (event) => {
  scene.setPointerCapture(event.pointerId);
  strokes.push([pointOf(event)]);
  changed();
});
scene.addEventListener("pointermove", (event) => {
  if (!scene.hasPointerCapture(event.pointerId)) return;
  strokes.at(-1).push(pointOf(event));
  changed();
});
for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("drop").addEventListener(type, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", over);
    if (type === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}

load();
