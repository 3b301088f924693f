// Where the points of a tile read the input, and how their gradients become those of theta.
//
// Included once for each instruction set, inside its namespace.

// The normalised coordinates of output pixels along x and y, for theta.
template <class A>
struct Base {
  const A *x, *y;
  int64_t width;
};

// A tile: points [first, first + n) of one image.
template <class A, int R>
struct Tile {
  int64_t first = 0;
  int n = 0;
  A point[R][kTile];                   // Along x, y(, z).
  A x[kTile], y[kTile], depth[kTile];  // Of the output pixels; 1 / depth, for theta only.
  bool horizon[kTile];                 // Where the depth is not theta's.
};

// Nearer to the horizon than this, a point reads far outside.
constexpr float kHorizon = 1e-6f;

template <class A, int R>
void load_base(const Base<A>& base, Tile<A, R>& tile) {
  int64_t row = tile.first / base.width, column = tile.first % base.width;
  for (int i = 0; i < tile.n;) {
    const int64_t left = base.width - column;
    const int stop = left < tile.n - i ? i + static_cast<int>(left) : tile.n;
    const A* from = base.x + (column - i);
    const A y = base.y[row];
    for (; i < stop; ++i) {
      tile.x[i] = from[i];
      tile.y[i] = y;
    }
    column = 0;
    ++row;
  }
}

// Fills tile.point from the points, or the theta, of one image.
template <class A, int R>
void load_points(const Problem& problem, const Base<A>& base, const A* points, Tile<A, R>& tile) {
  const int n = tile.n;
  if (problem.source == Points::kGrid || problem.source == Points::kPixels) {
    const A* __restrict from = points + tile.first * R;
    for (int i = 0; i < n; ++i) {
      for (int axis = 0; axis < R; ++axis) tile.point[axis][i] = from[i * R + axis];
    }
  } else {
    load_base(base, tile);
    const A* t = points;
    for (int i = 0; i < n; ++i) {
      tile.point[0][i] = t[0] * tile.x[i] + t[1] * tile.y[i] + t[2];
      tile.point[1][i] = t[3] * tile.x[i] + t[4] * tile.y[i] + t[5];
    }
    if (problem.source == Points::kProjective) {
      const A horizon = kHorizon;
      for (int i = 0; i < n; ++i) {
        const A depth = t[6] * tile.x[i] + t[7] * tile.y[i] + 1;
        const bool near = (depth < 0 ? -depth : depth) < horizon;
        const A used = near ? (depth < 0 ? -horizon : horizon) : depth;
        tile.horizon[i] = near;
        tile.depth[i] = 1 / used;
        tile.point[0][i] = tile.point[0][i] / used;
        tile.point[1][i] = tile.point[1][i] / used;
      }
    }
  }
}

// Adds the gradient of theta from that of the tile's normalised points. `theta` is that of the
// image, `normalised` its points before they became pixels.
template <class A, int R>
void add_theta_gradient(Points source, const A* theta, const Tile<A, R>& tile,
                        const A (*__restrict gradient)[kTile], double* total) {
  A sums[8] = {};
  const int n = tile.n;
  if (source == Points::kAffine) {
    for (int axis = 0; axis < 2; ++axis) {
      A by_x = 0, by_y = 0, plain = 0;
#pragma omp simd reduction(+ : by_x, by_y, plain)
      for (int i = 0; i < n; ++i) {
        by_x += gradient[axis][i] * tile.x[i];
        by_y += gradient[axis][i] * tile.y[i];
        plain += gradient[axis][i];
      }
      sums[axis * 3] = by_x;
      sums[axis * 3 + 1] = by_y;
      sums[axis * 3 + 2] = plain;
    }
    for (int i = 0; i < 6; ++i) total[i] += static_cast<double>(sums[i]);
    return;
  }
  for (int i = 0; i < n; ++i) {
    const A x = tile.x[i], y = tile.y[i], inverse = tile.depth[i];
    const A u = gradient[0][i] * inverse, v = gradient[1][i] * inverse;
    const A at_x = (theta[0] * x + theta[1] * y + theta[2]) * inverse;
    const A at_y = (theta[3] * x + theta[4] * y + theta[5]) * inverse;
    const A depth = tile.horizon[i] ? A(0) : -(u * at_x + v * at_y);
    sums[0] += u * x;
    sums[1] += u * y;
    sums[2] += u;
    sums[3] += v * x;
    sums[4] += v * y;
    sums[5] += v;
    sums[6] += depth * x;
    sums[7] += depth * y;
  }
  for (int i = 0; i < 8; ++i) total[i] += static_cast<double>(sums[i]);
}
