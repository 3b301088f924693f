#include "comparison.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "random.h"
#include "reference_gradient.h"
#include "thread_pool.h"

using reference::Numbers;

namespace {

int failures = 0, checks = 0;

double tolerance(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat64: return 1e-11;
    case Dtype::kFloat32: return 2e-5;
    case Dtype::kFloat16: return 4e-3;
    case Dtype::kBfloat16: return 3e-2;
  }
  return 0;
}

// How far rounding of normalised points moves them, in pixels.
double rounding(const Problem& p) {
  if (p.source == Points::kPixels) return 0;
  const double size = static_cast<double>(*std::max_element(p.input, p.input + 3));
  return size * (points_dtype(p) == Dtype::kFloat64 ? 0x1p-52 : 0x1p-23);
}

void compare(const Problem& p, const Numbers& found, const Numbers& expected, Dtype dtype,
             const char* what) {
  double worst = 0, most = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    // Not fmax, which passes over NaN.
    const double difference = std::fabs(found[i] - expected[i]);
    if (!(difference <= worst)) worst = difference;
    most = std::fmax(most, std::fabs(expected[i]));
  }
  expect(worst <= (tolerance(dtype) + rounding(p)) * (1 + most),
         name_of(p) + ": " + what + " differ by " + std::to_string(worst) + ", the largest is " +
             std::to_string(most));
}

double inner(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Holds the definition's gradient of the points against differences of its values.
void compare_slopes(const Problem& p, const Numbers& images, const Numbers& points,
                    const Numbers& upstream, const Numbers& gradient) {
  const Numbers along = uniforms(static_cast<int64_t>(points.size()));
  const auto moved = [&](double step) {
    Numbers there = points;
    for (size_t i = 0; i < there.size(); ++i) there[i] += step * along[i];
    return inner(upstream, reference::sample(p, images, there));
  };
  const double slope = (moved(1e-6) - moved(-1e-6)) / 2e-6, given = inner(gradient, along);
  expect(std::fabs(slope - given) <= 1e-5 * std::fmax(1, std::fabs(slope)),
         name_of(p) + ": the slope is " + std::to_string(slope) + ", not " + std::to_string(given));
}

}  // namespace

void expect(bool good, const std::string& what) {
  ++checks;
  if (good) return;
  if (++failures <= 20) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

int report() {
  std::printf("%s: %d checks, %d failed\n", stn_tf::instruction_set(), checks, failures);
  return failures == 0 ? 0 : 1;
}

void check(const Problem& p, const Numbers& at, Compared compared) {
  const int64_t inputs = p.batch * p.input_pixels() * p.channels;
  const int64_t outputs = p.batch * p.output_pixels() * p.channels;
  const Tensor images(p.dtype, uniforms(inputs)), upstream(p.dtype, uniforms(outputs));
  const Tensor points(points_dtype(p), at), output(p.dtype, static_cast<size_t>(outputs));
  expect(stn_tf::problem_error(p).empty(), name_of(p) + ": " + stn_tf::problem_error(p));
  const std::string error =
      stn_tf::sample(p, images.get(), points.get(), output.get(), stn_tf::thread_pool());
  expect(error.empty(), name_of(p) + ": " + error);

  struct Found {
    Tensor images, points;
  };
  const auto differentiate = [&](bool of_images, bool of_points) {
    Found found{Tensor(p.dtype, images.count), Tensor(points.dtype, points.count)};
    const std::string failure = stn_tf::sample_gradient(
        p, images.get(), points.get(), upstream.get(), of_images ? found.images.get() : nullptr,
        of_points ? found.points.get() : nullptr, stn_tf::thread_pool());
    expect(failure.empty(), name_of(p) + ": " + failure);
    return found;
  };
  const Found both = differentiate(true, true);
  expect(differentiate(true, false).images == both.images, name_of(p) + ": images alone");
  expect(differentiate(false, true).points == both.points, name_of(p) + ": points alone");

  if (compared == Compared::kNothing) return;
  const Numbers from = images.values(), where = points.values(), up = upstream.values();
  compare(p, output.values(), reference::sample(p, from, where), p.dtype, "values");
  if (compared == Compared::kValues) return;
  const reference::Gradients expected = reference::gradient(p, from, where, up);
  compare(p, both.images.values(), expected.images, p.dtype, "gradients of images");
  compare(p, both.points.values(), expected.points, points.dtype, "gradients of points");
  if (compared == Compared::kSlopes) compare_slopes(p, from, where, up, expected.points);
}
