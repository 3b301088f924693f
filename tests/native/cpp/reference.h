// The sampler by its definition, in double and point by point: an oracle, as slow as it is plain.

#ifndef STN_TF_TESTS_REFERENCE_H_
#define STN_TF_TESTS_REFERENCE_H_

#include <cmath>
#include <vector>

#include "sampler.h"

namespace reference {

using stn_tf::Dtype;
using stn_tf::Kernel;
using stn_tf::Padding;
using stn_tf::Points;
using stn_tf::Problem;
using Numbers = std::vector<double>;

struct Tap {
  int64_t index;
  double weight, slope;  // The slope of the weight, in pixels.
};

// Where a point reads, and how theta got it there.
struct Place {
  double pixel[3];   // Along x, y(, z).
  double normal[3];  // The same, as the caller counts.
  double x, y;       // The output pixel, for theta.
  double depth;
  bool horizon;  // Where the depth is not theta's.
};

inline double mirrored(double position, double low, double high, double& sign) {
  if (!(high > low)) return low;
  const double span = high - low;
  double folded = std::fmod(position - low, 2 * span);
  if (folded < 0) folded += 2 * span;
  sign = folded <= span ? 1 : -1;
  return low + (folded <= span ? folded : 2 * span - folded);
}

// Keys 1981, and its derivative.
inline double keys(double distance) {
  const double a = -0.75, d = std::fabs(distance);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0.0;
}

inline double keys_slope(double distance) {
  const double a = -0.75, d = std::fabs(distance), sign = distance < 0 ? -1 : 1;
  if (d <= 1) return sign * (3 * (a + 2) * d * d - 2 * (a + 3) * d);
  return d < 2 ? sign * (3 * a * d * d - 10 * a * d + 8 * a) : 0.0;
}

// Pixels are clipped to this, NaN to its negative, as the sampler says.
constexpr double kFar = 1073741824.0;

// Normalised points this near to a pixel's centre are put on it.
inline double noise(const Problem& problem, int64_t size) {
  if (problem.source == Points::kPixels) return 0;
  return static_cast<double>(size) * (problem.dtype == Dtype::kFloat64 ? 0x1p-52 : 0x1p-23);
}

inline std::vector<Tap> taps(const Problem& problem, double pixel, int64_t size) {
  if (!(pixel > -kFar)) pixel = -kFar;
  if (pixel > kFar) pixel = kFar;
  const bool clipped = std::fabs(pixel) >= kFar;
  const double centre = std::nearbyint(pixel);
  if (std::fabs(pixel - centre) <= noise(problem, size)) pixel = centre;
  if (problem.kernel == Kernel::kNearest) pixel = std::nearbyint(pixel);
  const double edge = problem.align_corners ? 0.0 : 0.5, last = static_cast<double>(size - 1);
  double sign = 1, ignored = 0;
  if (pixel < -edge || pixel > last + edge) {
    if (problem.padding == Padding::kBorder) {
      pixel = std::fmin(std::fmax(pixel, 0.0), last);
      sign = 0;
    }
    if (problem.padding == Padding::kReflection) {
      pixel = mirrored(pixel, -edge, last + edge, sign);
      if (clipped) sign = 0;
    }
  }
  std::vector<Tap> found;
  const double base = std::floor(pixel), t = pixel - base;
  const bool nearest = problem.kernel == Kernel::kNearest;
  const bool cubic = problem.kernel == Kernel::kBicubic;
  for (int offset = cubic ? -1 : 0; offset < (nearest ? 1 : cubic ? 3 : 2); ++offset) {
    int64_t index = static_cast<int64_t>(base) + offset;
    if (problem.padding == Padding::kZeros && (index < 0 || index >= size)) continue;
    if (problem.padding == Padding::kReflection) {
      const double whole = static_cast<double>(index);
      index = std::llround(mirrored(whole, -edge, last + edge, ignored));
    }
    index = index < 0 ? 0 : index >= size ? size - 1 : index;
    if (nearest) found.push_back({index, 1, 0});
    if (cubic) found.push_back({index, keys(t - offset), sign * keys_slope(t - offset)});
    if (!nearest && !cubic) {
      found.push_back({index, offset == 0 ? 1 - t : t, offset == 0 ? -sign : sign});
    }
  }
  return found;
}

inline double base_coordinate(const Problem& problem, int64_t i, int64_t size) {
  const double at = static_cast<double>(i), count = static_cast<double>(size);
  if (!problem.align_corners) return (2 * at + 1) / count - 1;
  return size > 1 ? 2 * at / (count - 1) - 1 : 0.0;
}

// Pixels per unit of a point.
inline double pixels_per_unit(const Problem& problem, int axis) {
  const double size = static_cast<double>(problem.input[2 - axis]);
  if (problem.source == Points::kPixels) return 1;
  return problem.align_corners ? (size - 1) / 2 : size / 2;
}

// Where output pixel `p` of an image reads.
inline Place place_of(const Problem& problem, const Numbers& points, int64_t image, int64_t p) {
  Place place{};
  place.depth = 1;
  if (problem.theta_size() == 0) {
    const double* from =
        points.data() + (image * problem.output_pixels() + p) * problem.dimensions;
    for (int axis = 0; axis < problem.dimensions; ++axis) place.normal[axis] = from[axis];
  } else {
    const double* t = points.data() + image * problem.theta_size();
    place.x = base_coordinate(problem, p % problem.output[2], problem.output[2]);
    place.y = base_coordinate(problem, p / problem.output[2], problem.output[1]);
    if (problem.source == Points::kProjective) {
      place.depth = t[6] * place.x + t[7] * place.y + 1;
      place.horizon = std::fabs(place.depth) < 1e-6f;
      if (place.horizon) place.depth = place.depth < 0 ? -1e-6f : 1e-6f;
    }
    place.normal[0] = (t[0] * place.x + t[1] * place.y + t[2]) / place.depth;
    place.normal[1] = (t[3] * place.x + t[4] * place.y + t[5]) / place.depth;
  }
  for (int axis = 0; axis < problem.dimensions; ++axis) {
    const double size = static_cast<double>(problem.input[2 - axis]), at = place.normal[axis];
    place.pixel[axis] = problem.source == Points::kPixels ? at
                        : problem.align_corners           ? (at + 1) / 2 * (size - 1)
                                                          : ((at + 1) * size - 1) / 2;
  }
  return place;
}

// Calls visit(z, y, x, pixel) for all combinations of the taps of one point, `pixel` being counted
// row by row through the batch.
template <class Visit>
void for_taps(const Problem& problem, const Place& place, int64_t image, const Visit& visit) {
  const std::vector<Tap> xs = taps(problem, place.pixel[0], problem.input[2]);
  const std::vector<Tap> ys = taps(problem, place.pixel[1], problem.input[1]);
  const std::vector<Tap> zs = problem.dimensions == 3
                                  ? taps(problem, place.pixel[2], problem.input[0])
                                  : std::vector<Tap>{{0, 1, 0}};
  for (const Tap& z : zs) {
    for (const Tap& y : ys) {
      const int64_t row = (image * problem.input[0] + z.index) * problem.input[1] + y.index;
      for (const Tap& x : xs) visit(z, y, x, row * problem.input[2] + x.index);
    }
  }
}

inline Numbers sample(const Problem& problem, const Numbers& images, const Numbers& points) {
  const int64_t outputs = problem.output_pixels(), channels = problem.channels;
  Numbers result(static_cast<size_t>(problem.batch * outputs * channels));
  for (int64_t image = 0; image < problem.batch; ++image) {
    for (int64_t p = 0; p < outputs; ++p) {
      double* to = result.data() + (image * outputs + p) * channels;
      for_taps(problem, place_of(problem, points, image, p), image,
               [&](const Tap& z, const Tap& y, const Tap& x, int64_t pixel) {
                 const double weight = z.weight * y.weight * x.weight;
                 const double* from = images.data() + pixel * channels;
                 for (int64_t c = 0; c < channels; ++c) to[c] += weight * from[c];
               });
    }
  }
  return result;
}

}  // namespace reference

#endif  // STN_TF_TESTS_REFERENCE_H_
