// The gradients of the images and of the points, chunk by chunk.
//
// Included once for each instruction set, inside its namespace.

// Notes that memory ran out, on whichever thread.
inline void run_out(Job& job) { __atomic_store_n(&job.out_of_memory, true, __ATOMIC_RELAXED); }

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
  if (job.theta_sums != nullptr) {
    const int size = job.problem.theta_size();
    add_theta_gradient(job.problem.source, view.points, tile, gradient,
                       job.theta_sums + (image * job.chunks + chunk) * size);
    return;
  }
  A* to = static_cast<A*>(job.points_gradient) +
          (image * job.problem.output_pixels() + tile.first) * R;
  for (int i = 0; i < tile.n; ++i) {
    for (int axis = 0; axis < R; ++axis) to[i * R + axis] = gradient[axis][i];
  }
}

// Goes through chunks of one image. Adds to the pixels [low, low + owned) of `sums`, and writes the
// gradient of the points of every `turns`-th chunk, beginning with `turn`.
template <class T, int R, int K>
void gradient_chunks(Job& job, int64_t image, int64_t begin, int64_t end, int64_t turn,
                     int64_t turns, int64_t low, int64_t owned,
                     typename Arithmetic<T>::type* sums) {
  using A = typename Arithmetic<T>::type;
  constexpr int kTaps = power(K, R);
  const Problem& problem = job.problem;
  const View<T, R, K> view(job, image);
  const int64_t outputs = problem.output_pixels();
  const T* upstream = static_cast<const T*>(job.upstream) + image * outputs * problem.channels;
  const bool whole = owned == problem.input_pixels();
  const bool want_points = job.points_gradient != nullptr || job.theta_sums != nullptr;
  Tile<A, R> tile;
  AxisTaps<A, K> taps[R];
  Reads<A, kTaps> reads;
  A dots[kTaps][kTile];
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const bool mine = want_points && chunk % turns == turn;
    if (!mine && sums == nullptr) continue;
    const int64_t first = chunk * job.chunk, left = outputs - first;
    for_tiles(first, left < job.chunk ? left : job.chunk, [&](int64_t at, int n) {
      tile.first = at;
      tile.n = n;
      if (mine) {
        view.read(tile, taps, reads);
      } else {
        view.read(tile, reads);
      }
      const T* up = upstream + at * problem.channels;
      if (mine) {
        dot_tile<T, A, kTaps>(reads, view.input, up, problem.channels, tile.n, dots);
        points_gradient<T, R, K>(job, view, image, chunk, tile, taps, dots);
      }
      if (sums == nullptr) return;
      int64_t least = low, most = low + owned - 1;
      if (!whole) find_range(reads, n, least, most);
      if (most < low || least >= low + owned) return;
      if (least >= low && most < low + owned) {
        add_tile<T, A, kTaps, true>(reads, up, problem.channels, n, low, owned, sums);
      } else {
        add_tile<T, A, kTaps, false>(reads, up, problem.channels, n, low, owned, sums);
      }
    });
  }
}

template <class T, int R, int K>
void gradient_band(Job& job, int64_t image, int64_t band) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const int64_t pixels = problem.input_pixels(), channels = problem.channels;
  const int64_t low = pixels * band / job.bands, owned = pixels * (band + 1) / job.bands - low;
  const size_t numbers = static_cast<size_t>(owned * channels);
  T* to = static_cast<T*>(job.images_gradient) + (image * pixels + low) * channels;
  // Half precision is summed in float32 and rounded once.
  constexpr bool kDirect = sizeof(T) == sizeof(A);
  Scratch scratch(kDirect ? 0 : numbers * sizeof(A));
  A* sums = kDirect ? reinterpret_cast<A*>(to) : static_cast<A*>(scratch.data);
  if (sums == nullptr) {
    run_out(job);
    return;
  }
  std::memset(sums, 0, numbers * sizeof(A));
  gradient_chunks<T, R, K>(job, image, 0, job.chunks, band, job.bands, low, owned, sums);
  if constexpr (!kDirect) {
    for (size_t i = 0; i < numbers; ++i) store(to + i, sums[i]);
  }
}
