// The path of upright windows: where y does not depend on the column, nor x on the row, rows are
// read first and then mixed.
//
// Included once for each instruction set, inside its namespace.

// Memory that is released by itself; data is null when there is none left.
struct Scratch {
  explicit Scratch(size_t bytes) : data(std::malloc(bytes ? bytes : 1)) {}
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data;
};

// The taps of all output columns.
template <class A, int K>
struct Columns {
  int32_t* pixel[K];
  A* weight[K];
};

// The taps of n coordinates scale * base + shift along one axis.
template <class A, int K>
void window_taps(A scale, A shift, const A* base, const Axis& axis, AxisTaps<A, K>& taps, int n) {
  A values[kTile];
  for (int i = 0; i < n; ++i) values[i] = scale * base[i] + shift;
  make_taps<A, K, false>(axis, Points::kAffine, values, taps, n);
}

template <class T, class A, int K>
void read_row(const Columns<A, K>& columns, const T* __restrict from, int64_t width,
              int64_t channels, A* __restrict to) {
  if (channels == 1) {
    for (int64_t j = 0; j < width; ++j) {
      A sum = 0;
      for (int k = 0; k < K; ++k) sum += columns.weight[k][j] * load(from[columns.pixel[k][j]]);
      to[j] = sum;
    }
    return;
  }
  for (int64_t j = 0; j < width; ++j) {
    for (int64_t c = 0; c < channels; ++c) {
      A sum = 0;
      for (int k = 0; k < K; ++k) {
        sum += columns.weight[k][j] * load(from[columns.pixel[k][j] * channels + c]);
      }
      to[j * channels + c] = sum;
    }
  }
}

// Writes rows [first, first + count) of one output image. False if memory ran out.
template <class T, class A, int K>
bool sample_rows(const Problem& problem, const Base<A>& base, const A* theta, const T* image,
                 int64_t first, int64_t count, T* to) {
  const int64_t width = problem.output[2], channels = problem.channels, line = width * channels;
  const int64_t row_length = problem.input[2] * channels;
  const Axis x_axis{problem.padding, problem.align_corners, static_cast<int32_t>(problem.input[2])};
  const Axis y_axis{problem.padding, problem.align_corners, static_cast<int32_t>(problem.input[1])};
  const size_t column_bytes = static_cast<size_t>(width) * K * (sizeof(int32_t) + sizeof(A));
  Scratch scratch(column_bytes + static_cast<size_t>(line) * K * sizeof(A));
  if (scratch.data == nullptr) return false;
  A* lines = static_cast<A*>(scratch.data);
  Columns<A, K> columns;
  for (int k = 0; k < K; ++k) {
    columns.weight[k] = lines + K * line + k * width;
    columns.pixel[k] = reinterpret_cast<int32_t*>(lines + K * line + K * width) + k * width;
  }
  AxisTaps<A, K> taps;
  for (int64_t j = 0; j < width; j += kTile) {
    const int n = static_cast<int>(width - j < kTile ? width - j : kTile);
    window_taps(theta[0], theta[2], base.x + j, x_axis, taps, n);
    for (int k = 0; k < K; ++k) {
      std::memcpy(columns.pixel[k] + j, taps.index[k], static_cast<size_t>(n) * sizeof(int32_t));
      std::memcpy(columns.weight[k] + j, taps.weight[k], static_cast<size_t>(n) * sizeof(A));
    }
  }
  // The rows that one output row reads are neighbours: each has a place of its own modulo K.
  int32_t held[K];
  for (int k = 0; k < K; ++k) held[k] = -1;
  for (int64_t i = 0; i < count; i += kTile) {
    const int n = static_cast<int>(count - i < kTile ? count - i : kTile);
    window_taps(theta[4], theta[5], base.y + first + i, y_axis, taps, n);
    for (int row = 0; row < n; ++row, to += line) {
      const A* from[K];
      A weights[K];
      for (int k = 0; k < K; ++k) {
        const int32_t wanted = taps.index[k][row];
        A* place = lines + (wanted % K) * line;
        if (held[wanted % K] != wanted) {
          read_row<T, A, K>(columns, image + wanted * row_length, width, channels, place);
          held[wanted % K] = wanted;
        }
        from[k] = place;
        weights[k] = taps.weight[k][row];
      }
      T* __restrict out = to;
      for (int64_t j = 0; j < line; ++j) {
        A sum = weights[0] * from[0][j];
        for (int k = 1; k < K; ++k) sum += weights[k] * from[k][j];
        store(out + j, sum);
      }
    }
  }
  return true;
}
