// Moves pixels: the sum over a point's taps, and the way back.
//
// Included once for each instruction set, inside its namespace.

// All combinations of the taps of the axes of a tile.
template <class A, int kTaps>
struct Reads {
  int32_t pixel[kTaps][kTile];  // In the image, counted row by row.
  A weight[kTaps][kTile];
};

constexpr int power(int base, int exponent) {
  return exponent == 0 ? 1 : base * power(base, exponent - 1);
}

// Combination k of the taps uses tap digit(k, axis) of an axis, x being the fastest.
template <int K>
constexpr int digit(int combination, int axis) {
  return axis == 0 ? combination % K : digit<K>(combination / K, axis - 1);
}

template <class A, int R, int K>
void combine(const AxisTaps<A, K> (&axes)[R], const int32_t* stride, int n,
             Reads<A, power(K, R)>& reads) {
  for (int k = 0; k < power(K, R); ++k) {
    int32_t* __restrict pixel = reads.pixel[k];
    A* __restrict weight = reads.weight[k];
    const int32_t *x = axes[0].index[digit<K>(k, 0)], *y = axes[1].index[digit<K>(k, 1)];
    const A *wx = axes[0].weight[digit<K>(k, 0)], *wy = axes[1].weight[digit<K>(k, 1)];
    if constexpr (R == 2) {
      for (int i = 0; i < n; ++i) {
        pixel[i] = y[i] * stride[1] + x[i];
        weight[i] = wy[i] * wx[i];
      }
    } else {
      const int32_t* z = axes[2].index[digit<K>(k, 2)];
      const A* wz = axes[2].weight[digit<K>(k, 2)];
      for (int i = 0; i < n; ++i) {
        pixel[i] = z[i] * stride[2] + y[i] * stride[1] + x[i];
        weight[i] = wz[i] * wy[i] * wx[i];
      }
    }
  }
}

// The taps of bilinear points of a plane, both axes in one go.
template <class A, bool kZeros>
void read_corners(const Axis* axes, Points source, const A* __restrict xs, const A* __restrict ys,
                  int32_t stride, int n, Reads<A, 4>& reads) {
  const Pixels<A> x_pixel(axes[0], source), y_pixel(axes[1], source);
  const int32_t x_last = axes[0].size - 1, y_last = axes[1].size - 1;
  for (int i = 0; i < n; ++i) {
    const Pair<A> x = read_pair<A, kZeros>(x_pixel, xs[i], x_last);
    const Pair<A> y = read_pair<A, kZeros>(y_pixel, ys[i], y_last);
    reads.pixel[0][i] = y.low * stride + x.low;
    reads.pixel[1][i] = y.low * stride + x.high;
    reads.pixel[2][i] = y.high * stride + x.low;
    reads.pixel[3][i] = y.high * stride + x.high;
    reads.weight[0][i] = y.low_weight * x.low_weight;
    reads.weight[1][i] = y.low_weight * x.high_weight;
    reads.weight[2][i] = y.high_weight * x.low_weight;
    reads.weight[3][i] = y.high_weight * x.high_weight;
  }
}

// Channels that are computed together: one vector of the widest kind.
constexpr int kLanes = 16;

// Points between asking for a pixel and reading it.
constexpr int kAhead = 48;

// Asks for the pixels that will be read some points later: a slanted line through a large image
// is nothing that processors foresee.
template <int kWrite, class T, class A, int kTaps>
inline void fetch_ahead(const Reads<A, kTaps>& reads, T* image, int64_t channels, int i, int n,
                        int64_t low = 0) {
  const int ahead = i + kAhead < n ? i + kAhead : n - 1;
  __builtin_prefetch(image + (reads.pixel[0][ahead] - low) * channels, kWrite);
  __builtin_prefetch(image + (reads.pixel[kTaps - 1][ahead] - low) * channels, kWrite);
}

template <class T, class A, int kTaps, int kChannels>
inline void read_channels(const T* const* from, const A* weights, T* to) {
  A sums[kChannels];
  for (int c = 0; c < kChannels; ++c) sums[c] = weights[0] * load(from[0][c]);
  for (int k = 1; k < kTaps; ++k) {
    for (int c = 0; c < kChannels; ++c) sums[c] += weights[k] * load(from[k][c]);
  }
  for (int c = 0; c < kChannels; ++c) store(to + c, sums[c]);
}

// Two and three channels have code of their own where they are common: in float32, for up to eight
// taps. More would double the size of the library.
template <class T, int kTaps>
constexpr bool kFewChannels = sizeof(T) == 4 && kTaps <= 8;

// Few channels, known when compiled.
template <class T, class A, int kTaps, int kChannels>
void read_few(const Reads<A, kTaps>& reads, const T* __restrict image, int n, T* __restrict to) {
  if constexpr (kTaps > 8) {
    for (int i = 0; i < n; ++i) {
      A sums[kChannels] = {};
      for (int k = 0; k < kTaps; ++k) {
        const T* from = image + static_cast<int64_t>(reads.pixel[k][i]) * kChannels;
        for (int c = 0; c < kChannels; ++c) sums[c] += reads.weight[k][i] * load(from[c]);
      }
      for (int c = 0; c < kChannels; ++c) store(to + i * kChannels + c, sums[c]);
    }
  } else {
    for (int i = 0; i < n; ++i) {
      if (kChannels > 1) fetch_ahead<0>(reads, image, kChannels, i, n);
      A sums[kChannels] = {};
#pragma GCC unroll 8
      for (int k = 0; k < kTaps; ++k) {
        const int64_t from = static_cast<int64_t>(reads.pixel[k][i]) * kChannels;
#pragma GCC unroll 4
        for (int c = 0; c < kChannels; ++c) sums[c] += reads.weight[k][i] * load(image[from + c]);
      }
#pragma GCC unroll 4
      for (int c = 0; c < kChannels; ++c) store(to + i * kChannels + c, sums[c]);
    }
  }
}

template <class T, class A, int kTaps>
void read_many(const Reads<A, kTaps>& reads, const T* image, int64_t channels, int n, T* to) {
  for (int i = 0; i < n; ++i) {
    const T* from[kTaps];
    A weights[kTaps];
    for (int k = 0; k < kTaps; ++k) {
      from[k] = image + static_cast<int64_t>(reads.pixel[k][i]) * channels;
      weights[k] = reads.weight[k][i];
    }
    T* out = to + i * channels;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      read_channels<T, A, kTaps, kLanes>(from, weights, out + c);
      for (int k = 0; k < kTaps; ++k) from[k] += kLanes;
    }
    for (; c + 4 <= channels; c += 4) {
      read_channels<T, A, kTaps, 4>(from, weights, out + c);
      for (int k = 0; k < kTaps; ++k) from[k] += 4;
    }
    for (; c < channels; ++c) {
      read_channels<T, A, kTaps, 1>(from, weights, out + c);
      for (int k = 0; k < kTaps; ++k) ++from[k];
    }
  }
}

template <class T, class A, int kTaps>
void read_tile(const Reads<A, kTaps>& reads, const T* image, int64_t channels, int n, T* to) {
  if (channels == 1) return read_few<T, A, kTaps, 1>(reads, image, n, to);
  if constexpr (kFewChannels<T, kTaps>) {
    if (channels == 2) return read_few<T, A, kTaps, 2>(reads, image, n, to);
    if (channels == 3) return read_few<T, A, kTaps, 3>(reads, image, n, to);
  }
  read_many<T, A, kTaps>(reads, image, channels, n, to);
}

// The sum over channels of upstream times each tap's pixel: few channels, known when compiled.
template <class T, class A, int kTaps, int kChannels>
void dot_few(const Reads<A, kTaps>& reads, const T* __restrict image, const T* __restrict upstream,
             int n, A (*__restrict dots)[kTile]) {
  if (kChannels > 1) {
    for (int i = 0; i < n; ++i) fetch_ahead<0>(reads, image, kChannels, i - kAhead, n);
  }
  for (int k = 0; k < kTaps; ++k) {
    for (int i = 0; i < n; ++i) {
      const int64_t from = static_cast<int64_t>(reads.pixel[k][i]) * kChannels;
      A dot = 0;
#pragma GCC unroll 4
      for (int c = 0; c < kChannels; ++c) {
        dot += load(upstream[i * kChannels + c]) * load(image[from + c]);
      }
      dots[k][i] = dot;
    }
  }
}

template <class T, class A, int kTaps>
void dot_many(const Reads<A, kTaps>& reads, const T* image, const T* upstream, int64_t channels,
              int n, A (*__restrict dots)[kTile]) {
  for (int i = 0; i < n; ++i) {
    const T* up = upstream + i * channels;
    for (int k = 0; k < kTaps; ++k) {
      const T* from = image + static_cast<int64_t>(reads.pixel[k][i]) * channels;
      A lanes[kLanes] = {};
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) {
          lanes[lane] += load(up[c + lane]) * load(from[c + lane]);
        }
      }
      A dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int lane = 0; lane < kLanes; ++lane) dot += lanes[lane];
      for (; c < channels; ++c) dot += load(up[c]) * load(from[c]);
      dots[k][i] = dot;
    }
  }
}

template <class T, class A, int kTaps>
void dot_tile(const Reads<A, kTaps>& reads, const T* image, const T* upstream, int64_t channels,
              int n, A (*dots)[kTile]) {
  if (channels == 1) return dot_few<T, A, kTaps, 1>(reads, image, upstream, n, dots);
  if constexpr (kFewChannels<T, kTaps>) {
    if (channels == 2) return dot_few<T, A, kTaps, 2>(reads, image, upstream, n, dots);
    if (channels == 3) return dot_few<T, A, kTaps, 3>(reads, image, upstream, n, dots);
  }
  dot_many<T, A, kTaps>(reads, image, upstream, channels, n, dots);
}

// The first and the last pixel that a tile reads.
template <class A, int kTaps>
void find_range(const Reads<A, kTaps>& reads, int n, int64_t& least, int64_t& most) {
  int32_t low = reads.pixel[0][0], high = low;
  for (int k = 0; k < kTaps; ++k) {
#pragma omp simd reduction(min : low) reduction(max : high)
    for (int i = 0; i < n; ++i) {
      const int32_t pixel = reads.pixel[k][i];
      low = pixel < low ? pixel : low;
      high = pixel > high ? pixel : high;
    }
  }
  least = low;
  most = high;
}

// Adds upstream to the pixels that were read, where they lie in [low, low + count). `kChannels` is
// 0 where their number is known at run time only.
template <class T, class A, int kTaps, int kChannels, bool kWhole>
void add_pixels(const Reads<A, kTaps>& reads, const T* __restrict upstream, int64_t channels, int n,
                int64_t low, int64_t count, A* __restrict gradient) {
  const int64_t step = kChannels ? kChannels : channels;
  const auto add = [&](int i) {
    const T* up = upstream + i * step;
    if (kWhole && kChannels > 1) fetch_ahead<1>(reads, gradient, kChannels, i, n, low);
    for (int k = 0; k < kTaps; ++k) {
      const int64_t pixel = reads.pixel[k][i] - low;
      if (!kWhole && (pixel < 0 || pixel >= count)) continue;
      const A weight = reads.weight[k][i];
      A* to = gradient + pixel * step;
      int64_t c = 0;
      if (kChannels == 0) {
        for (; c + kLanes <= step; c += kLanes) {
          for (int lane = 0; lane < kLanes; ++lane) to[c + lane] += weight * load(up[c + lane]);
        }
      }
#pragma GCC unroll 4
      for (; c < step; ++c) to[c] += weight * load(up[c]);
    }
  };
  // Neighbours add to the same pixels, and each would wait for the last: take turns with points
  // further on.
  const int quarter = (n + 3) / 4;
  for (int i = 0; i < quarter; ++i) {
    for (int at = i; at < n; at += quarter) add(at);
  }
}

template <class T, class A, int kTaps, bool kWhole>
void add_tile(const Reads<A, kTaps>& reads, const T* upstream, int64_t channels, int n, int64_t low,
              int64_t count, A* to) {
  constexpr auto one = add_pixels<T, A, kTaps, 1, kWhole>;
  if (channels == 1) return one(reads, upstream, 1, n, low, count, to);
  if constexpr (kFewChannels<T, kTaps>) {
    constexpr auto two = add_pixels<T, A, kTaps, 2, kWhole>;
    constexpr auto three = add_pixels<T, A, kTaps, 3, kWhole>;
    if (channels == 2) return two(reads, upstream, 2, n, low, count, to);
    if (channels == 3) return three(reads, upstream, 3, n, low, count, to);
  }
  add_pixels<T, A, kTaps, 0, kWhole>(reads, upstream, channels, n, low, count, to);
}
