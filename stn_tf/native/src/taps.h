// Which pixels a point reads along one axis, and with which weights.
//
// Every axis contributes its taps by itself, as in stn_tf/sampling/portable.py, whose rules these
// are: an index that is always inside the image, and a weight that is zero in the zero padding.
// Included once for each instruction set, inside its namespace.

constexpr int kTile = 128;

// One axis of a tile of points.
template <class A, int K>
struct AxisTaps {
  int32_t index[K][kTile];
  A weight[K][kTile];
  A slope[K][kTile];  // Of the weight, in pixels; filled for gradients only.
};

// What a point does along an axis before its taps are known.
struct Axis {
  Padding padding;
  bool align_corners;
  int32_t size;
};

template <class A>
constexpr A kEpsilon = A(0x1p-23);
template <>
constexpr double kEpsilon<double> = 0x1p-52;

// Coordinates are clipped to this, in pixels; NaN becomes its negative.
constexpr float kFar = 0x1p30f;

// From normalised coordinates to pixels: pixel = value * scale + shift.
template <class A>
struct Pixels {
  explicit Pixels(const Axis& axis, Points source) {
    const A extent = static_cast<A>(axis.size);
    const bool given = source == Points::kPixels;
    scale = given ? A(1) : (axis.align_corners ? extent - 1 : extent) / 2;
    shift = given ? A(0) : (extent - 1) / 2;
    noise = given ? A(0) : extent * kEpsilon<A>;
  }

  // A point within the rounding error of its own dtype of a pixel's centre is put on it.
  inline A snap(A pixel, A centre) const {
    return magnitude(centre - pixel) <= noise ? centre : pixel;
  }

  A scale, shift, noise;
};

// Moves outer points into the image, where the padding does so; `sign` is the slope of the move.
template <class A>
void into_image(const Axis& axis, A* __restrict pixels, A* __restrict sign, int n) {
  for (int i = 0; i < n; ++i) sign[i] = 1;
  if (axis.padding == Padding::kZeros) return;
  const A edge = axis.align_corners ? A(0) : A(0.5), last = static_cast<A>(axis.size) - 1;
  const A low = -edge, high = last + edge;
  if (axis.padding == Padding::kBorder) {
    for (int i = 0; i < n; ++i) {
      const A pixel = pixels[i];
      const bool outside = (pixel < low) | (pixel > high);
      const A near = pixel < 0 ? A(0) : pixel > last ? last : pixel;
      pixels[i] = outside ? near : pixel;
      sign[i] = outside ? A(0) : A(1);
    }
    return;
  }
  // With one pixel and aligned corners the two mirrors coincide.
  const A span = high - low > A(1e-6) ? high - low : A(1e-6);
  for (int i = 0; i < n; ++i) {
    const A pixel = pixels[i];
    const bool outside = (pixel < low) | (pixel > high);
    const A folded = static_cast<A>(modulo(pixel - low, 2 * double{span}));
    const bool forth = folded <= 2 * span - folded;
    pixels[i] = outside ? low + (forth ? folded : 2 * span - folded) : pixel;
    const bool clipped = (pixel <= -A(kFar)) | (pixel >= A(kFar));
    sign[i] = clipped ? A(0) : outside && !forth ? A(-1) : A(1);
  }
}

// Writes one tap of every point: the pixel at a whole position, and nothing in the zero padding.
template <class A>
void put_tap(const Axis& axis, const A* __restrict base, int offset, int32_t* __restrict index,
             A* __restrict weight, A* __restrict slope, int n) {
  const int32_t last = axis.size - 1;
  if (axis.padding == Padding::kZeros) {
    for (int i = 0; i < n; ++i) {
      const int32_t at = static_cast<int32_t>(base[i]) + offset;
      const int32_t near = at < 0 ? 0 : at > last ? last : at;
      index[i] = near;
      weight[i] = near == at ? weight[i] : A(0);
    }
    if (slope != nullptr) {
      for (int i = 0; i < n; ++i) {
        const int32_t at = static_cast<int32_t>(base[i]) + offset;
        slope[i] = (at >= 0) & (at <= last) ? slope[i] : A(0);
      }
    }
    return;
  }
  const double doubled = 2 * static_cast<double>(axis.align_corners ? last : axis.size);
  const double period = doubled > 1 ? doubled : 1;
  const double turn = axis.align_corners ? period : period - 1;
  for (int i = 0; i < n; ++i) {
    int32_t at = static_cast<int32_t>(base[i]) + offset;
    if (axis.padding == Padding::kReflection) {
      const double folded = modulo(at, period);
      at = static_cast<int32_t>(folded < turn - folded ? folded : turn - folded);
    }
    index[i] = at < 0 ? 0 : at > last ? last : at;
  }
}

// Keys 1981 with alpha -0.75: the weights of taps at distances below 1 and from 1 to 2.
template <class A>
inline A cubic_near(A d) {
  return (A(1.25) * d - A(2.25)) * d * d + 1;
}
template <class A>
inline A cubic_far(A d) {
  return ((A(-0.75) * d + A(3.75)) * d - 6) * d + 3;
}
template <class A>
inline A cubic_near_slope(A d) {
  return (A(3.75) * d - A(4.5)) * d;
}
template <class A>
inline A cubic_far_slope(A d) {
  return (A(-2.25) * d + A(7.5)) * d - 6;
}

// The two taps of a bilinear point, as most points are read: zeros or border, and fewer than
// kNear pixels along the axis.
constexpr int32_t kNear = 1 << 21;

template <class A>
struct Pair {
  int32_t low, high;
  A low_weight, high_weight;
  A low_slope, high_slope;
};

inline int32_t into_range(int32_t value, int32_t last) {
  value = value > 0 ? value : 0;
  return value < last ? value : last;
}

// Where a point lies: t pixels beyond the centre of pixel `low`, 0 <= t < 1. `slope` is 0 where
// moving the point changes nothing.
template <class A>
struct Place {
  int32_t low;
  A t, slope;
};

template <class A, bool kZeros>
inline Place<A> find_place(const Pixels<A>& to_pixel, A value, int32_t last) {
  const A near = A(kNear), outside = -near;
  A pixel = value * to_pixel.scale + to_pixel.shift;
  A slope = 1;
  if (kZeros) {
    // All that is far away is alike, and NaN too.
    pixel = magnitude(pixel) < near ? pixel : outside;
  } else {
    const A end = static_cast<A>(last), given = pixel;
    pixel = pixel > 0 ? pixel : A(0);
    pixel = pixel < end ? pixel : end;
    slope = pixel == given ? A(1) : A(0);
  }
  const A centre = round_near(pixel);
  pixel = to_pixel.snap(pixel, centre);
  const A base = centre > pixel ? centre - 1 : centre;
  return {static_cast<int32_t>(base), pixel - base, slope};
}

template <class A, bool kZeros>
inline Pair<A> read_pair(const Pixels<A>& to_pixel, A value, int32_t last) {
  const Place<A> place = find_place<A, kZeros>(to_pixel, value, last);
  const int32_t low = place.low, high = low + 1;
  const A t = place.t, slope = place.slope;
  Pair<A> pair;
  pair.low = into_range(low, last);
  pair.high = into_range(high, last);
  pair.low_weight = !kZeros || pair.low == low ? 1 - t : A(0);
  pair.high_weight = !kZeros || pair.high == high ? t : A(0);
  pair.low_slope = !kZeros || pair.low == low ? -slope : A(0);
  pair.high_slope = !kZeros || pair.high == high ? slope : A(0);
  return pair;
}

template <class A, bool kZeros, bool kSlopes>
void make_pairs(const Axis& axis, const Pixels<A>& to_pixel, const A* __restrict values,
                AxisTaps<A, 2>& taps, int n) {
  const int32_t last = axis.size - 1;
  for (int i = 0; i < n; ++i) {
    const Pair<A> pair = read_pair<A, kZeros>(to_pixel, values[i], last);
    taps.index[0][i] = pair.low;
    taps.index[1][i] = pair.high;
    taps.weight[0][i] = pair.low_weight;
    taps.weight[1][i] = pair.high_weight;
    if (kSlopes) {
      taps.slope[0][i] = pair.low_slope;
      taps.slope[1][i] = pair.high_slope;
    }
  }
}

// Fills the taps of n points.
template <class A, int K, bool kSlopes>
void make_taps(const Axis& axis, Points source, const A* __restrict values, AxisTaps<A, K>& taps,
               int n) {
  const Pixels<A> to_pixel(axis, source);
  if constexpr (K == 2) {
    if (axis.padding == Padding::kZeros && axis.size < kNear) {
      return make_pairs<A, true, kSlopes>(axis, to_pixel, values, taps, n);
    }
    if (axis.padding == Padding::kBorder && axis.size < kNear) {
      return make_pairs<A, false, kSlopes>(axis, to_pixel, values, taps, n);
    }
  }
  A pixels[kTile], sign[kTile], base[kTile];
  const A far = kFar;
  for (int i = 0; i < n; ++i) {
    A pixel = values[i] * to_pixel.scale + to_pixel.shift;
    pixel = pixel > -far ? pixel : -far;
    pixel = pixel < far ? pixel : far;
    pixels[i] = to_pixel.snap(pixel, round_of(pixel));
  }
  if (K == 1) {
    for (int i = 0; i < n; ++i) pixels[i] = round_of(pixels[i]);
  }
  into_image(axis, pixels, sign, n);
  for (int i = 0; i < n; ++i) {
    base[i] = K == 1 ? pixels[i] : floor_of(pixels[i]);
    const A t = pixels[i] - base[i];
    if constexpr (K == 1) {
      taps.weight[0][i] = 1;
      taps.slope[0][i] = 0;
    } else if constexpr (K == 2) {
      taps.weight[0][i] = 1 - t;
      taps.weight[1][i] = t;
      taps.slope[0][i] = -sign[i];
      taps.slope[1][i] = sign[i];
    } else {
      taps.weight[0][i] = cubic_far(1 + t);
      taps.weight[1][i] = cubic_near(t);
      taps.weight[2][i] = cubic_near(1 - t);
      taps.weight[3][i] = cubic_far(2 - t);
      if (kSlopes) {
        taps.slope[0][i] = sign[i] * cubic_far_slope(1 + t);
        taps.slope[1][i] = sign[i] * cubic_near_slope(t);
        taps.slope[2][i] = -sign[i] * cubic_near_slope(1 - t);
        taps.slope[3][i] = -sign[i] * cubic_far_slope(2 - t);
      }
    }
  }
  for (int k = 0; k < K; ++k) {
    put_tap(axis, base, K == 4 ? k - 1 : k, taps.index[k], taps.weight[k],
            kSlopes ? taps.slope[k] : nullptr, n);
  }
}
