#include <cmath>
#include <limits>

#include "comparison.h"
#include "parts.h"
#include "random.h"
#include "thread_pool.h"

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
// None of them in the image, whatever is computed of them.
const std::vector<double> kOutside = {NAN,   kInfinite, -kInfinite,   1e30,          -1e30,
                                      3e38,  -3e38,     1073741824.0, -2147483648.0, 2147483648.0,
                                      -1e20, 4e9};
const std::vector<double> kOdd = {NAN,       kInfinite,    -kInfinite,    1e30,  -1e30,
                                  3e38,      1,            -1,            1e-7 + 1, -1e-7 - 1,
                                  1e-40,     1073741824.0, -2147483648.0, 0,     0.5,
                                  -0.5 - 1e-7};

std::vector<double> some_of(const std::vector<double>& values, int64_t count) {
  std::vector<double> points(static_cast<size_t>(count));
  for (double& point : points) point = values[generator()() % values.size()];
  return points;
}

// Each point outside along one axis at least, and inside along others.
std::vector<double> outside(const Problem& p) {
  std::vector<double> points = some_of(kOutside, numbers_of_points(p));
  for (size_t i = 1; i < points.size(); ++i) {
    const bool before = std::fabs(points[i - 1]) < 1;
    if (i % static_cast<size_t>(p.dimensions) && !before && uniform(0, 1) < 0.5) points[i] = 0.25;
  }
  return points;
}

// Float32 cannot tell where a mirror image that far away is.
bool has_definition(const Problem& p) {
  return p.padding != Padding::kReflection || p.dtype == Dtype::kFloat64;
}

void odd_shapes(const Problem& p) {
  for (int shape = 0; shape < 6; ++shape) {
    Problem q = p;
    q.channels = shape == 4 ? 0 : 1 + shape;
    if (shape == 1) set_sizes(q, {1, 1, 1}, {p.output, p.output + 3});
    if (shape == 2) q.batch = 0;
    if (shape == 3) q.output[2] = p.theta_size() ? 1 : 0;
    if (shape == 5) q.input[1] = 1;
    check(q, some_of(kOdd, numbers_of_points(q)), Compared::kNothing);
  }
}

// Images whose plane passes through the eye: depth 0 at the last column, and negative beyond.
void horizon(Problem p) {
  p.align_corners = true;
  set_sizes(p, {1, 5, 9}, {1, 9, 17});
  for (double slope : {-1.0, -2.0}) {
    std::vector<double> thetas = calm_points(p);
    for (size_t i = 6; i < thetas.size(); i += 8) thetas[i] = slope, thetas[i + 1] = 0;
    // Next to the horizon float32 is off by more than the tolerance allows.
    const bool wide = p.dtype == Dtype::kFloat64 && p.kernel != Kernel::kNearest;
    check(p, thetas, wide && has_definition(p) ? Compared::kValues : Compared::kNothing);
  }
}

}  // namespace

void extremes() {
  every_combination([](const Problem& p) {
    odd_shapes(p);
    if (p.source == Points::kProjective) horizon(p);
    if (p.theta_size() > 0) return;
    // Sizes for which float32 computes what lies just beyond a border without rounding.
    Problem q = p;
    const int64_t one = p.align_corners ? 1 : 0;
    set_sizes(q, {p.dimensions == 3 ? 2 + one : 1, 4 + one, 8 + one}, {1, 3, 45});
    check(q, outside(q), has_definition(q) ? Compared::kGradients : Compared::kNothing);
    check(q, some_of({1 + 0x1p-23, -1 - 0x1p-23, 1e-40, -1e-40, 1, -1, 0.5, 0},
                     numbers_of_points(q)),
          Compared::kValues);
  });
  // More threads than there is work for.
  stn_tf::set_threads(7);
  for (const Kernel kernel : kKernels) {
    Problem p = make(Dtype::kFloat32, kernel, Padding::kZeros, Points::kGrid, false, 2, 3);
    p.batch = 1;
    set_sizes(p, {1, 1, 2}, {1, 1, 1});
    check(p, calm_points(p), Compared::kGradients);
    odd_shapes(p);
  }
  stn_tf::set_threads(0);
}
