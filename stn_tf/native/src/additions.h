// Adds upstream to the gradient of the pixels that points read.
//
// Included once for each instruction set, inside its namespace.

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

template <int kCount, class T, class A>
inline void add_weighted(const T* __restrict up, A weight, A* __restrict to) {
  for (int c = 0; c < kCount; ++c) to[c] += weight * load(up[c]);
}

// Adds upstream to the pixels that were read, where they lie in [low, low + count): few channels,
// known when compiled.
template <class T, class A, int kTaps, int kChannels, bool kWhole>
void add_few(const Reads<A, kTaps>& reads, const T* __restrict upstream, int n, int64_t low,
             int64_t count, A* __restrict gradient) {
  const auto add = [&](int i) {
    if (kWhole && kChannels > 1) fetch_ahead<1>(reads, gradient, kChannels, i, n, low);
    for (int k = 0; k < kTaps; ++k) {
      const int64_t pixel = reads.pixel[k][i] - low;
      if (!kWhole && (pixel < 0 || pixel >= count)) continue;
      add_weighted<kChannels>(upstream + i * kChannels, reads.weight[k][i],
                              gradient + pixel * kChannels);
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
void add_many(const Reads<A, kTaps>& reads, const T* upstream, int64_t channels, int n, int64_t low,
              int64_t count, A* gradient) {
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < kTaps; ++k) {
      const int64_t pixel = reads.pixel[k][i] - low;
      if (!kWhole && (pixel < 0 || pixel >= count)) continue;
      const A weight = reads.weight[k][i];
      const T* up = upstream + i * channels;
      A* to = gradient + pixel * channels;
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) add_weighted<kLanes>(up + c, weight, to + c);
      if (c + 8 <= channels) {
        add_weighted<8>(up + c, weight, to + c);
        c += 8;
      }
      if (c + 4 <= channels) {
        add_weighted<4>(up + c, weight, to + c);
        c += 4;
      }
      for (; c < channels; ++c) add_weighted<1>(up + c, weight, to + c);
    }
  }
}

template <class T, class A, int kTaps, bool kWhole>
void add_tile(const Reads<A, kTaps>& reads, const T* upstream, int64_t channels, int n, int64_t low,
              int64_t count, A* to) {
  constexpr auto one = add_few<T, A, kTaps, 1, kWhole>;
  if (channels == 1) return one(reads, upstream, n, low, count, to);
  if constexpr (kFewChannels<T, kTaps>) {
    constexpr auto two = add_few<T, A, kTaps, 2, kWhole>;
    constexpr auto three = add_few<T, A, kTaps, 3, kWhole>;
    if (channels == 2) return two(reads, upstream, n, low, count, to);
    if (channels == 3) return three(reads, upstream, n, low, count, to);
  }
  add_many<T, A, kTaps, kWhole>(reads, upstream, channels, n, low, count, to);
}
