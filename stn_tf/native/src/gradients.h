// The gradients of the images and of the points, part by part.
//
// Included once for each instruction set, inside its namespace.

// The gradient of the points of a tile, from the dot products of its taps.
template <class T, int R, int K>
void points_gradient(Job& job, const View<T, R, K>& view, int64_t image, int64_t chunk,
                     const Tile<typename Arithmetic<T>::type, R>& tile,
                     const AxisTaps<typename Arithmetic<T>::type, K> (&taps)[R],
                     const typename Arithmetic<T>::type (*dots)[kTile]) {
  using A = typename Arithmetic<T>::type;
  A gradient[R][kTile];
  if constexpr (R == 2 && K == 2) {
    const A x_scale = view.scale(0), y_scale = view.scale(1);
    const AxisTaps<A, 2>&x = taps[0], &y = taps[1];
    for (int i = 0; i < tile.n; ++i) {
      const A upper = dots[0][i] * x.slope[0][i] + dots[1][i] * x.slope[1][i];
      const A lower = dots[2][i] * x.slope[0][i] + dots[3][i] * x.slope[1][i];
      gradient[0][i] = (upper * y.weight[0][i] + lower * y.weight[1][i]) * x_scale;
      const A above = dots[0][i] * x.weight[0][i] + dots[1][i] * x.weight[1][i];
      const A below = dots[2][i] * x.weight[0][i] + dots[3][i] * x.weight[1][i];
      gradient[1][i] = (above * y.slope[0][i] + below * y.slope[1][i]) * y_scale;
    }
  }
  for (int axis = 0; axis < R && !(R == 2 && K == 2); ++axis) {
    A* __restrict sum = gradient[axis];
    for (int i = 0; i < tile.n; ++i) sum[i] = 0;
    for (int k = 0; k < power(K, R); ++k) {
      const A* factor[R];
      for (int other = 0; other < R; ++other) {
        const int tap = digit<K>(k, other);
        factor[other] = other == axis ? taps[other].slope[tap] : taps[other].weight[tap];
      }
      for (int i = 0; i < tile.n; ++i) {
        A term = dots[k][i];
        for (int other = 0; other < R; ++other) term *= factor[other][i];
        sum[i] += term;
      }
    }
    const A scale = view.scale(axis);
    for (int i = 0; i < tile.n; ++i) sum[i] *= scale;
  }
  put_points_gradient(job, view, image, chunk, tile, gradient);
}

// Adds to `sums` of the pixels of a part, unless it is null, and writes its points' gradient.
template <class T, int R, int K>
void add_gradients(Job& job, const Part& part, typename Arithmetic<T>::type* sums) {
  using A = typename Arithmetic<T>::type;
  constexpr int kTaps = power(K, R);
  const Problem& problem = job.problem;
  const View<T, R, K> view(job, part.image);
  const T* upstream =
      static_cast<const T*>(job.upstream) + part.image * problem.output_pixels() * problem.channels;
  const int64_t low = part.low, high = low + part.count;
  const bool whole = part.count == problem.input_pixels();
  AxisTaps<A, K> taps[R];
  Reads<A, kTaps> reads;
  A dots[kTaps][kTile];
  for_tiles_of<A, R>(job, part, sums != nullptr, [&](Tile<A, R>& tile, int64_t chunk, bool mine) {
    const T* up = upstream + tile.first * problem.channels;
    if (mine) {
      view.read(tile, taps, reads);
      dot_tile<T, A, kTaps>(reads, view.input, up, problem.channels, tile.n, dots);
      points_gradient<T, R, K>(job, view, part.image, chunk, tile, taps, dots);
    } else {
      view.read(tile, reads);
    }
    if (sums == nullptr) return;
    int64_t least = low, most = high - 1;
    if (!whole) find_range(reads, tile.n, least, most);
    if (most < low || least >= high) return;
    const auto add =
        least >= low && most < high ? add_tile<T, A, kTaps, true> : add_tile<T, A, kTaps, false>;
    add(reads, up, problem.channels, tile.n, low, part.count, sums);
  });
}

template <class T, int R, int K>
void gradient_band(Job& job, int64_t image, int64_t band) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const int64_t pixels = problem.input_pixels(), channels = problem.channels;
  const int64_t low = pixels * band / job.bands, owned = pixels * (band + 1) / job.bands - low;
  const Part part{image, 0, job.chunks, band, job.bands, low, owned};
  const size_t numbers = static_cast<size_t>(owned * channels);
  T* to = static_cast<T*>(job.images_gradient) + (image * pixels + low) * channels;
  if constexpr (R == 2 && K == 2) {
    if (View<T, R, K>(job, image).square_gradients()) {
      if (!square_band(job, part, to)) run_out(job);
      return;
    }
  }
  // Half precision is summed in float32 and rounded once.
  constexpr bool kDirect = sizeof(T) == sizeof(A);
  Scratch scratch(kDirect ? 0 : numbers * sizeof(A));
  A* sums = kDirect ? reinterpret_cast<A*>(to) : static_cast<A*>(scratch.data);
  if (sums == nullptr) {
    run_out(job);
    return;
  }
  std::memset(sums, 0, numbers * sizeof(A));
  add_gradients<T, R, K>(job, part, sums);
  if constexpr (!kDirect) {
    for (size_t i = 0; i < numbers; ++i) store(to + i, sums[i]);
  }
}

// The gradient of the points alone, of one chunk.
template <class T, int R, int K>
void gradient_chunk(Job& job, int64_t image, int64_t chunk) {
  const Part part{image, chunk, chunk + 1, 0, 1, 0, 0};
  if constexpr (R == 2 && K == 2) {
    if (View<T, R, K>(job, image).square_gradients()) {
      return add_square_gradients<T>(job, part, nullptr);
    }
  }
  add_gradients<T, R, K>(job, part, nullptr);
}
