// What a version says of an image, by the task of its model.

import { depth, drawPixels, ends } from "./drawing.js";

const TOP = 5; // Classes that are listed.
const MOST = 4; // Numbers of a vector that are told.
const LOOKS = ["theta", "corners", "crops"];

export const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// The outputs that are no transformer's.
export const heads = (version) => version.outputs.filter(({ meaning }) => !LOOKS.includes(meaning));

// What a version says: bars for classes, numbers, pictures, or lists as they are.
export function tell(card, version, said) {
  const { task, classes, outputs } = version;
  const shares = said[outputs.find(({ meaning }) => meaning === "probabilities")?.name]
    ?? (task ? null : said.probabilities);
  const scores = card.querySelector(".scores");
  const maps = card.querySelector(".maps");
  maps.replaceChildren();
  if (["classification", "binary", "multilabel", null, undefined].includes(task) && shares) {
    return listShares(scores, shares, classes, task === "multilabel");
  }
  if (said.label !== undefined && ["classification", "binary"].includes(task)) {
    return scores.replaceChildren(line(said.label, ""));
  }
  const own = task ? heads(version).filter(({ derived }) => !derived) : Object.keys(said).map((name) => ({ name }));
  const lines = [];
  for (const { name, dtype } of own) {
    const value = said[name];
    if (value === undefined) continue;
    const rows = ["dense", "none"].includes(task) ? asMap(value, version.input, task) : null;
    if (rows) maps.append(picture(name, rows, dtype));
    else lines.push(...told(name, value, task));
  }
  scores.replaceChildren(...lines);
}

function told(name, value, task) {
  const flat = [value].flat(Infinity);
  if (task === "embedding" && flat.length > MOST) {
    const start = flat.slice(0, MOST).map(shortened).join(" ");
    const length = Math.sqrt(flat.reduce((sum, v) => sum + v * v, 0));
    return [line(name, `${start} … (${flat.length} numbers, length ${shortened(length)})`)];
  }
  if (task === "regression" && flat.length <= 4 * MOST) {
    if (flat.length === 1) return [line(name, shortened(flat[0]))];
    return flat.map((v, index) => line(`${name} ${index}`, shortened(v)));
  }
  const text = JSON.stringify(value);
  return [line(name, text.length > 400 ? `${text.slice(0, 400)} …` : text)];
}

const shortened = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value));

// Rows of pixels, if an output is a map or an image: [h, w, C], or [C, h, w] in NCHW. [h, w] is one
// where maps are the task; elsewhere it may be any table.
function asMap(value, input, task) {
  const rank = depth(value);
  if (rank !== 3 && (rank !== 2 || task !== "dense")) return null;
  let rows = value;
  if (rank === 2) rows = value.map((row) => row.map((number) => [number]));
  else if (input?.layout === "NCHW") {
    rows = value[0].map((row, y) => row.map((_, x) => value.map((channel) => channel[y][x])));
  }
  const isNumber = typeof rows[0]?.[0]?.[0] === "number";
  return isNumber && rows.length > 1 && rows[0].length > 1 ? rows : null;
}

function picture(name, rows, dtype = "float32") {
  const figure = document.createElement("figure");
  const canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption");
  canvas.height = rows.length;
  canvas.width = rows[0].length;
  const channels = rows[0][0].length;
  const whole = dtype.includes("int") && channels === 1;
  if (whole || (channels !== 1 && channels !== 3)) {
    // Classes have a hue each, far from its neighbours'.
    const best = (pixel) => (whole ? pixel[0] : pixel.indexOf(Math.max(...pixel)));
    drawPixels(canvas, rows, (pixel) => hue(best(pixel)));
    caption.textContent = whole ? name : `${name}: the largest of ${channels} channels`;
  } else {
    const [low, extent] = ends(rows.flat(), (value) => value);
    const [least, span] = low >= 0 && low + extent <= 1 ? [0, 1] : [low, extent];
    const scaled = (pixel) => pixel.map((v) => (255 * (v - least)) / span);
    drawPixels(canvas, rows, (pixel) => (channels === 3 ? scaled(pixel) : Array(3).fill(scaled(pixel)[0])));
    caption.textContent = `${name}: black ${shortened(least)}, white ${shortened(least + span)}`;
  }
  canvas.className = "map";
  figure.append(canvas, caption);
  return figure;
}

function hue(index) {
  const [a, l] = [(index * 137.5 * Math.PI) / 180, index ? 150 : 60];
  return [0, 2.1, 4.2].map((shift) => l + (index ? 90 * Math.cos(a - shift) : 0));
}

function line(name, value, share = 0) {
  const item = document.createElement("li");
  const [bar, left, right] = ["i", "b", "b"].map((tag) => document.createElement(tag));
  bar.style.width = `${share * 100}%`;
  left.textContent = name;
  right.textContent = value;
  item.append(bar, left, right);
  return item;
}

function listShares(target, probabilities, classes, several) {
  const order = probabilities.map((value, index) => ({ value, index }));
  order.sort((a, b) => b.value - a.value);
  target.replaceChildren(
    ...order.slice(0, TOP).map(({ value, index }, place) => {
      const item = line(classes[index] ?? index, `${(value * 100).toFixed(1)} %`, value);
      item.classList.toggle("chosen", several ? value >= 0.5 : place === 0);
      return item;
    }),
  );
}
