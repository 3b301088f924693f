// The sampler by its definition, in double and point by point: an oracle, as slow as it is plain.

#ifndef STN_TF_TESTS_REFERENCE_H_
#define STN_TF_TESTS_REFERENCE_H_

#include <cmath>
#include <vector>

#include "sampler.h"

namespace reference {

using stn_tf::Kernel;
using stn_tf::Padding;
using stn_tf::Points;
using stn_tf::Problem;

struct Tap {
  int64_t index;
  double weight;
};

inline double mirrored(double position, double low, double high) {
  if (!(high > low)) return low;
  const double span = high - low;
  double folded = std::fmod(position - low, 2 * span);
  if (folded < 0) folded += 2 * span;
  return low + (folded <= span ? folded : 2 * span - folded);
}

inline double keys(double distance) {
  const double a = -0.75, d = std::fabs(distance);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0.0;
}

// Pixels are clipped to this, NaN to its negative, as the sampler says.
constexpr double kFar = 1073741824.0;

inline std::vector<Tap> taps(const Problem& problem, double pixel, int64_t size) {
  if (!(pixel > -kFar)) pixel = -kFar;
  if (pixel > kFar) pixel = kFar;
  if (problem.kernel == Kernel::kNearest) pixel = std::nearbyint(pixel);
  const double edge = problem.align_corners ? 0.0 : 0.5, last = static_cast<double>(size - 1);
  if (pixel < -edge || pixel > last + edge) {
    if (problem.padding == Padding::kBorder) pixel = std::fmin(std::fmax(pixel, 0.0), last);
    if (problem.padding == Padding::kReflection) pixel = mirrored(pixel, -edge, last + edge);
  }
  std::vector<Tap> found;
  const double base = std::floor(pixel), t = pixel - base;
  const int first = problem.kernel == Kernel::kBicubic ? -1 : 0;
  const int count = problem.kernel == Kernel::kNearest ? 1 : problem.kernel == Kernel::kBilinear ? 2 : 4;
  for (int k = 0; k < count; ++k) {
    const int offset = first + k;
    double weight = 1;
    if (problem.kernel == Kernel::kBilinear) weight = offset == 0 ? 1 - t : t;
    if (problem.kernel == Kernel::kBicubic) weight = keys(t - offset);
    int64_t index = static_cast<int64_t>(base) + offset;
    if (problem.padding == Padding::kZeros && (index < 0 || index >= size)) continue;
    if (problem.padding == Padding::kReflection) {
      index = std::llround(mirrored(static_cast<double>(index), -edge, last + edge));
    }
    index = index < 0 ? 0 : index >= size ? size - 1 : index;
    found.push_back({index, weight});
  }
  return found;
}

inline double base_coordinate(const Problem& problem, int64_t i, int64_t size) {
  if (!problem.align_corners) return (2.0 * static_cast<double>(i) + 1) / static_cast<double>(size) - 1;
  return size > 1 ? 2.0 * static_cast<double>(i) / static_cast<double>(size - 1) - 1 : 0.0;
}

// Where output pixel `p` of an image reads along x, y(, z), in pixels.
inline void pixels_of(const Problem& problem, const std::vector<double>& points, int64_t image,
                      int64_t p, double* pixels) {
  double place[3] = {};
  if (problem.theta_size() == 0) {
    const int64_t at = (image * problem.output_pixels() + p) * problem.dimensions;
    for (int axis = 0; axis < problem.dimensions; ++axis) place[axis] = points[static_cast<size_t>(at + axis)];
  } else {
    const double* t = points.data() + image * problem.theta_size();
    const double x = base_coordinate(problem, p % problem.output[2], problem.output[2]);
    const double y = base_coordinate(problem, p / problem.output[2], problem.output[1]);
    const double depth = problem.source == Points::kProjective ? t[6] * x + t[7] * y + 1 : 1;
    place[0] = (t[0] * x + t[1] * y + t[2]) / depth;
    place[1] = (t[3] * x + t[4] * y + t[5]) / depth;
  }
  for (int axis = 0; axis < problem.dimensions; ++axis) {
    const double size = static_cast<double>(problem.input[2 - axis]);
    pixels[axis] = problem.source == Points::kPixels ? place[axis]
                   : problem.align_corners           ? (place[axis] + 1) / 2 * (size - 1)
                                                     : ((place[axis] + 1) * size - 1) / 2;
  }
}

inline std::vector<double> sample(const Problem& problem, const std::vector<double>& images,
                                  const std::vector<double>& points) {
  const int64_t outputs = problem.output_pixels(), channels = problem.channels;
  std::vector<double> result(static_cast<size_t>(problem.batch * outputs * channels));
  for (int64_t image = 0; image < problem.batch; ++image) {
    for (int64_t p = 0; p < outputs; ++p) {
      double pixels[3] = {};
      pixels_of(problem, points, image, p, pixels);
      const std::vector<Tap> xs = taps(problem, pixels[0], problem.input[2]);
      const std::vector<Tap> ys = taps(problem, pixels[1], problem.input[1]);
      const std::vector<Tap> zs =
          problem.dimensions == 3 ? taps(problem, pixels[2], problem.input[0]) : std::vector<Tap>{{0, 1}};
      for (const Tap& z : zs) {
        for (const Tap& y : ys) {
          for (const Tap& x : xs) {
            const int64_t from =
                ((image * problem.input[0] + z.index) * problem.input[1] + y.index) * problem.input[2] + x.index;
            for (int64_t c = 0; c < channels; ++c) {
              result[static_cast<size_t>((image * outputs + p) * channels + c)] +=
                  z.weight * y.weight * x.weight * images[static_cast<size_t>(from * channels + c)];
            }
          }
        }
      }
    }
  }
  return result;
}

}  // namespace reference

#endif  // STN_TF_TESTS_REFERENCE_H_
