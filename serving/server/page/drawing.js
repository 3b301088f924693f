// Frames, crops and other pixels on a canvas.

const MOST = 4; // Crops of one image that are drawn.

// How deep lists are nested.
export const depth = (value) => (Array.isArray(value) ? 1 + depth(value[0]) : 0);

// Draws where a crop is read: `scale` is how wide lines are.
export function drawFrame(context, corners, transform, scale) {
  const project = projection(corners);
  // The corners of a spline, or of a transform that is not ours, say nothing of what lies between.
  const ours = ["affine", "attention", "similarity", "projective"].includes(transform ?? "affine");
  const lines = ours ? 8 : 1;
  for (let i = 0; i <= lines; i++) {
    const edge = i === 0 || i === lines;
    context.strokeStyle = edge ? "#ffb224" : "rgba(255, 178, 36, .55)";
    context.lineWidth = scale * (edge ? 3 : 1.25);
    for (const at of [(t) => [i / lines, t], (t) => [t, i / lines]]) {
      context.beginPath();
      context.moveTo(...project(...at(0)));
      context.lineTo(...project(...at(1)));
      context.stroke();
    }
  }
  // The top edge of the crop, so that a turn shows.
  context.strokeStyle = "#ff5c7a";
  context.lineWidth = scale * 4;
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

// One crop, or the first of several side by side.
export function drawCrops(canvas, crops, input) {
  const several = (depth(crops) > 3 ? crops : [crops]).slice(0, MOST);
  const side = Math.ceil(Math.sqrt(several.length));
  const [height, width] = [several[0].length, several[0][0].length];
  canvas.width = side * width;
  canvas.height = Math.ceil(several.length / side) * height;
  several.forEach((rows, index) => {
    const place = [(index % side) * width, Math.floor(index / side) * height];
    drawPixels(canvas, rows, levels(rows, input), place);
  });
}

// Puts rows of pixels on a canvas; `level` gives red, green and blue of each, 0..255.
export function drawPixels(canvas, rows, level, [left, top] = [0, 0]) {
  const pixels = new ImageData(rows[0].length, rows.length);
  let i = 0;
  for (const row of rows) {
    for (const pixel of row) {
      for (const value of [...level(pixel), 255]) pixels.data[i++] = value;
    }
  }
  canvas.getContext("2d").putImageData(pixels, left, top);
}

// What undoes the range, mean and deviation of a model's input; without one, what lies between the
// least and the greatest number of the first channel is drawn.
function levels(rows, input) {
  const known = input?.range && input.channels === rows[0][0].length;
  if (known && [1, 3].includes(input.channels)) {
    const [low, high] = input.range;
    const of = (numbers, channel) => numbers[numbers.length > 1 ? channel : 0];
    const undone = (pixel) =>
      pixel.map((v, c) => (255 * (v * of(input.std, c) + of(input.mean, c) - low)) / (high - low));
    return (pixel) => {
      const found = undone(pixel);
      if (found.length === 1) return [found[0], found[0], found[0]];
      return input.color_space === "bgr" ? found.reverse() : found;
    };
  }
  const [least, extent] = ends(rows, (pixel) => pixel[0]);
  return (pixel) => Array(3).fill((255 * (pixel[0] - least)) / extent);
}

// The least number of rows of pixels, and how far the greatest is from it.
export function ends(rows, number) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const pixel of row) {
      const value = number(pixel);
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
  }
  return [least, greatest - least || 1];
}
