// The products of upstream and the pixels that points read, of which the points' gradient is made.
//
// Included once for each instruction set, inside its namespace.

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

// Numbers that are computed with together.
template <class A, int kCount>
struct Lanes {
  typedef A Vector __attribute__((vector_size(kCount * sizeof(A))));
  Vector v;

  template <class T>
  void read(const T* from) {
    if constexpr (sizeof(T) == sizeof(A)) {
      std::memcpy(&v, from, sizeof v);
    } else {
      A values[kCount];
      for (int i = 0; i < kCount; ++i) values[i] = load(from[i]);
      std::memcpy(&v, values, sizeof v);
    }
  }
};

template <int kCount, class T, class A>
inline void add_products(const T* one, const T* other, Lanes<A, kCount>& sum) {
  Lanes<A, kCount> a, b;
  a.read(one);
  b.read(other);
  sum.v += a.v * b.v;
}

template <class A, int kCount>
inline void halve(const Lanes<A, 2 * kCount>& whole, Lanes<A, kCount>& sum) {
  Lanes<A, kCount> halves[2];
  std::memcpy(halves, &whole, sizeof whole);
  sum.v += halves[0].v + halves[1].v;
}

// The sum over channels of the products of two pixels.
template <class T, class A>
inline A dot_channels(const T* one, const T* other, int64_t channels) {
  Lanes<A, 4> four{};
  int64_t c = 0;
  Lanes<A, 8> eight{};
  if (channels >= kLanes) {
    Lanes<A, kLanes> all{};
    for (; c + kLanes <= channels; c += kLanes) add_products(one + c, other + c, all);
    halve(all, eight);
  }
  if (c + 8 <= channels) {
    add_products(one + c, other + c, eight);
    c += 8;
  }
  halve(eight, four);
  if (c + 4 <= channels) {
    add_products(one + c, other + c, four);
    c += 4;
  }
  A rest = 0;
  for (; c < channels; ++c) rest += load(one[c]) * load(other[c]);
  return rest + ((four.v[0] + four.v[1]) + (four.v[2] + four.v[3]));
}

template <class T, class A, int kTaps>
void dot_many(const Reads<A, kTaps>& reads, const T* image, const T* upstream, int64_t channels,
              int n, A (*__restrict dots)[kTile]) {
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < kTaps; ++k) {
      const T* from = image + static_cast<int64_t>(reads.pixel[k][i]) * channels;
      dots[k][i] = dot_channels<T, A>(upstream + i * channels, from, channels);
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
