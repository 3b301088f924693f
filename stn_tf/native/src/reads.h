// Which pixels points read, and the sum over them.
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
    if (c + 8 <= channels) {
      read_channels<T, A, kTaps, 8>(from, weights, out + c);
      for (int k = 0; k < kTaps; ++k) from[k] += 8;
      c += 8;
    }
    if (c + 4 <= channels) {
      read_channels<T, A, kTaps, 4>(from, weights, out + c);
      for (int k = 0; k < kTaps; ++k) from[k] += 4;
      c += 4;
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
