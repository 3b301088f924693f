// Bilinear points of a plane with one channel: each reads a square of two by two pixels.
//
// Included once for each instruction set, inside its namespace. Processors gather slowly, so pairs
// of neighbours are copied side by side, and the rest is vector code. The way back adds to all four
// corners at once: every pixel has a square of sums, and these are put together at the end.

constexpr int kCorners = 4;  // Left and right above, left and right below.

// The squares of the gradient of larger images are too far from the processor.
constexpr int64_t kSquarePixels = 1 << 20;

// The two taps of a point along one axis, `start` and its neighbour, both inside the image.
template <class A>
struct Side {
  int32_t start;
  A weight[2];
  A slope[2];  // Of the weight, in pixels.
};

template <class A, bool kZeros>
inline Side<A> read_side(const Pixels<A>& to_pixel, A value, int32_t last) {
  const Place<A> place = find_place<A, kZeros>(to_pixel, value, last);
  const int32_t low = place.low;
  const A t = place.t, slope = place.slope;
  Side<A> side;
  side.start = into_range(low, last - 1);
  // A point inside has both taps. On or beyond an edge only the pixel at the edge counts: alone in
  // the border padding, where it is the last one, and with its own weight in the zero padding.
  const bool inside = low == side.start;
  side.weight[0] = inside ? 1 - t : A(0);
  side.weight[1] = inside ? t : kZeros ? A(0) : A(1);
  const A own = inside ? slope : A(0);
  side.slope[0] = -own;
  side.slope[1] = own;
  if (kZeros) {
    const bool before = low + 1 == side.start, after = low - 1 == side.start;
    side.weight[0] = before ? t : side.weight[0];
    side.weight[1] = after ? 1 - t : side.weight[1];
    side.slope[0] += before ? slope : A(0);
    side.slope[1] -= after ? slope : A(0);
  }
  return side;
}

template <class A>
struct Squares {
  int32_t at[kTile];                       // The upper left pixel.
  A x[2][kTile], y[2][kTile];              // Weights.
  A x_slope[2][kTile], y_slope[2][kTile];  // Filled for gradients only.
};

// Points as a grid holds them, and as a tile does.
template <class A>
struct GridPoints {
  const A* from;
  A x(int i) const { return from[2 * i]; }
  A y(int i) const { return from[2 * i + 1]; }
};
template <class A>
struct TilePoints {
  const A *xs, *ys;
  A x(int i) const { return xs[i]; }
  A y(int i) const { return ys[i]; }
};

template <class A, bool kZeros, bool kSlopes, class From>
void find_squares(const Axis* axes, Points source, const From& points, int n,
                  Squares<A>& __restrict squares) {
  const Pixels<A> x_pixel(axes[0], source), y_pixel(axes[1], source);
  const int32_t width = axes[0].size, x_last = width - 1, y_last = axes[1].size - 1;
  for (int i = 0; i < n; ++i) {
    const Side<A> x = read_side<A, kZeros>(x_pixel, points.x(i), x_last);
    const Side<A> y = read_side<A, kZeros>(y_pixel, points.y(i), y_last);
    squares.at[i] = y.start * width + x.start;
    for (int k = 0; k < 2; ++k) {
      squares.x[k][i] = x.weight[k];
      squares.y[k][i] = y.weight[k];
      if (kSlopes) {
        squares.x_slope[k][i] = x.slope[k];
        squares.y_slope[k][i] = y.slope[k];
      }
    }
  }
}

// The pixels of a tile's squares, side by side.
template <class T>
struct Corners {
  T pixel[kTile * kCorners];
};

template <class T, class A>
void copy_corners(const Squares<A>& squares, const T* image, int64_t width, int n,
                  Corners<T>& corners) {
  constexpr size_t kPair = 2 * sizeof(T);
  for (int i = 0; i < n; ++i) {
    const T* from = image + squares.at[i];
    T* to = corners.pixel + i * kCorners;
    if constexpr (kPair == sizeof(uint64_t)) {
      typedef uint64_t Pairs __attribute__((vector_size(16)));  // Stored at once.
      uint64_t above, below;
      std::memcpy(&above, from, kPair);
      std::memcpy(&below, from + width, kPair);
      const Pairs pairs = {above, below};
      std::memcpy(to, &pairs, sizeof pairs);
    } else {
      std::memcpy(to, from, kPair);
      std::memcpy(to + 2, from + width, kPair);
    }
    __asm__ volatile("" ::: "memory");  // Or compilers would gather.
  }
}

template <class T, class A>
void sum_squares(const Squares<A>& squares, const Corners<T>& corners, int n, T* __restrict to) {
  for (int i = 0; i < n; ++i) {
    const T* pixel = corners.pixel + i * kCorners;
    const A left = squares.x[0][i], right = squares.x[1][i];
    const A above = left * load(pixel[0]) + right * load(pixel[1]);
    const A below = left * load(pixel[2]) + right * load(pixel[3]);
    store(to + i, squares.y[0][i] * above + squares.y[1][i] * below);
  }
}

// The gradient of the points, whose unit is `x_scale` by `y_scale` pixels.
template <class T, class A>
void square_slopes(const Squares<A>& squares, const Corners<T>& corners,
                   const T* __restrict upstream, A x_scale, A y_scale, int n,
                   A (*__restrict gradient)[kTile]) {
  for (int i = 0; i < n; ++i) {
    const T* pixel = corners.pixel + i * kCorners;
    const A a = load(pixel[0]), b = load(pixel[1]), c = load(pixel[2]), d = load(pixel[3]);
    const A up = load(upstream[i]);
    const A upper = a * squares.x_slope[0][i] + b * squares.x_slope[1][i];
    const A lower = c * squares.x_slope[0][i] + d * squares.x_slope[1][i];
    gradient[0][i] = up * x_scale * (upper * squares.y[0][i] + lower * squares.y[1][i]);
    const A above = a * squares.x[0][i] + b * squares.x[1][i];
    const A below = c * squares.x[0][i] + d * squares.x[1][i];
    gradient[1][i] = up * y_scale * (above * squares.y_slope[0][i] + below * squares.y_slope[1][i]);
  }
}

// Adds upstream to the squares [low, low + count) of an image's gradient, of kCorners numbers each.
template <class T, class A>
void add_squares(const Squares<A>& squares, const T* __restrict upstream, int n, int64_t low,
                 int64_t count, A* __restrict sums) {
  A terms[kTile * kCorners];
  for (int i = 0; i < n; ++i) {
    const A up = load(upstream[i]);
    const A above = up * squares.y[0][i], below = up * squares.y[1][i];
    terms[i * kCorners] = above * squares.x[0][i];
    terms[i * kCorners + 1] = above * squares.x[1][i];
    terms[i * kCorners + 2] = below * squares.x[0][i];
    terms[i * kCorners + 3] = below * squares.x[1][i];
  }
  for (int i = 0; i < n; ++i) {
    const int64_t square = squares.at[i] - low;
    if (square < 0 || square >= count) continue;
    typedef A Square __attribute__((vector_size(kCorners * sizeof(A))));
    Square sum, term;
    std::memcpy(&sum, sums + square * kCorners, sizeof sum);
    std::memcpy(&term, terms + i * kCorners, sizeof term);
    sum += term;
    std::memcpy(sums + square * kCorners, &sum, sizeof sum);
  }
}

// The gradient of the pixels [first, first + count) from the squares, of which `sums` holds those
// from `low` on.
template <class T, class A>
void sum_corners(const A* __restrict sums, int64_t low, int64_t width, int64_t first, int64_t count,
                 T* __restrict to) {
  const A* own = sums + (first - low) * kCorners;
  int64_t i = 0;
  for (; i < count && first + i <= width; ++i, own += kCorners) {
    // Some corners would lie before the image.
    A sum = own[0];
    if (first + i >= 1) sum += own[1 - kCorners];
    if (first + i >= width) sum += own[2 - width * kCorners];
    store(to + i, sum);
  }
  for (; i < count; ++i, own += kCorners) {
    store(to + i, own[0] + own[1 - kCorners] + own[2 - width * kCorners] +
                      own[3 - (width + 1) * kCorners]);
  }
}
