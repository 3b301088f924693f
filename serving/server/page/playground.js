// The playground: one image, turned and scaled, and what every version of a model says about it.

const at = (id) => document.getElementById(id);
const scene = at("scene");
const SIDE = 448; // Of the scene's longer side, in pixels.
const QUIET = 80; // Milliseconds after the last change before the server is asked.
const TOP = 5;

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
    const crops = version.signatures.includes("rectify");
    const [row, crop] = await Promise.all([
      predict(model, version, png, "", signal),
      crops ? predict(model, version, png, "rectify", signal) : null,
    ]);
    drawLook(card.querySelector(".look"), row.corners, version.transforms[0]);
    card.querySelector(".seen").hidden = !crop;
    if (crop) drawCrop(card.querySelector(".crop"), crop.crops ?? crop);
    list(card.querySelector(".scores"), row.probabilities ?? [], version.classes);
    error.textContent = "";
  } catch (problem) {
    if (!signal.aborted) error.textContent = problem.message;
  }
}

function drawLook(canvas, corners, transform) {
  canvas.width = scene.width;
  canvas.height = scene.height;
  const context = canvas.getContext("2d");
  context.drawImage(scene, 0, 0);
  if (!corners) return;
  const project = projection(corners);
  // The corners of a spline say nothing of what lies between them.
  const lines = transform === "tps" ? 1 : 8;
  for (let i = 0; i <= lines; i++) {
    const edge = i === 0 || i === lines;
    context.strokeStyle = edge ? "#ffb224" : "rgba(255, 178, 36, .55)";
    context.lineWidth = edge ? 3 : 1.25;
    for (const at of [(t) => [i / lines, t], (t) => [t, i / lines]]) {
      context.beginPath();
      context.moveTo(...project(...at(0)));
      context.lineTo(...project(...at(1)));
      context.stroke();
    }
  }
  // The top edge of the crop, so that a turn shows.
  context.strokeStyle = "#ff5c7a";
  context.lineWidth = 4;
  context.beginPath();
  context.moveTo(...project(0, 0));
  context.lineTo(...project(1, 0));
  context.stroke();
}

// The map of the unit square onto a quadrangle, from top left clockwise, that keeps lines straight.
function projection([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]) {
  const [dx1, dx2, dx3] = [x1 - x2, x3 - x2, x0 - x1 + x2 - x3];
  const [dy1, dy2, dy3] = [y1 - y2, y3 - y2, y0 - y1 + y2 - y3];
  const area = dx1 * dy2 - dx2 * dy1 || 1e-9;
  const g = (dx3 * dy2 - dx2 * dy3) / area;
  const h = (dx1 * dy3 - dx3 * dy1) / area;
  return (u, v) => {
    const depth = g * u + h * v + 1;
    const x = (x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0;
    const y = (y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0;
    return [x / depth + 0.5, y / depth + 0.5]; // Pixels are centred on whole numbers there.
  };
}

function drawCrop(canvas, rows) {
  canvas.height = rows.length;
  canvas.width = rows[0].length;
  const pixels = new ImageData(canvas.width, canvas.height);
  let i = 0;
  for (const row of rows) {
    for (const pixel of row) {
      const [red, green, blue] = pixel.length < 3 ? [pixel[0], pixel[0], pixel[0]] : pixel;
      for (const level of [red, green, blue, 1]) pixels.data[i++] = level * 255;
    }
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function list(target, probabilities, classes) {
  const order = probabilities.map((value, index) => ({ value, index }));
  order.sort((a, b) => b.value - a.value);
  target.replaceChildren(
    ...order.slice(0, TOP).map(({ value, index }) => {
      const item = document.createElement("li");
      const [bar, name, percent] = ["i", "b", "b"].map((tag) => document.createElement(tag));
      bar.style.width = `${value * 100}%`;
      name.textContent = classes[index] ?? index;
      percent.textContent = `${(value * 100).toFixed(1)} %`;
      item.append(bar, name, percent);
      return item;
    }),
  );
}

// ---- The page ---------------------------------------------------------------------------------

function choose() {
  const model = chosen();
  const versions = model ? served(model) : [];
  at("answers").replaceChildren(
    ...versions.map((version) => {
      const card = at("version").content.cloneNode(true).firstElementChild;
      card.id = `version-${version.version}`;
      const labels = Object.keys(model.labels).filter((name) => model.labels[name] === version.version);
      card.querySelector("h2").textContent = ["Version " + version.version, ...labels].join(" · ");
      card.querySelector(".seen").hidden = !version.signatures.includes("rectify");
      return card;
    }),
  );
  const input = versions.find((version) => version.input)?.input;
  const [height, width] = input ? [input.height, input.width] : [1, 1];
  scene.height = Math.round((SIDE * height) / Math.max(height, width));
  scene.width = Math.round((SIDE * width) / Math.max(height, width));
  const newest = versions[0];
  if (!model) say("No model is served.", true);
  else if (!newest) say(`No version of ${model.name} is available.`, true);
  else if (!input) say(`${model.name} takes no images; the page shows what it says of images.`, true);
  else say(`${model.name} reads ${width} × ${height} pixels.`);
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
