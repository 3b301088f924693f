// Runs the kernels over every combination and over what users should never send, for a build with
// sanitizers. Prints what differs from the definition and fails then.

#include <unistd.h>

#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <sys/wait.h>
#include <thread>

#include "reference.h"
#include "tensor.h"
#include "thread_pool.h"

using namespace stn_tf;

namespace {

std::mt19937_64 generator(20150605);
int failures = 0, checks = 0;

double uniform(double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(generator);
}

std::vector<double> uniforms(int64_t count, double low = -1, double high = 1) {
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = uniform(low, high);
  return values;
}

void expect(bool good, const std::string& what) {
  ++checks;
  if (good) return;
  if (++failures <= 20) std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

std::string name_of(const Problem& p) {
  return "dtype " + std::to_string(static_cast<int>(p.dtype)) + " kernel " +
         std::to_string(static_cast<int>(p.kernel)) + " padding " +
         std::to_string(static_cast<int>(p.padding)) + " points " +
         std::to_string(static_cast<int>(p.source)) + " align " + std::to_string(p.align_corners) +
         " dimensions " + std::to_string(p.dimensions) + " channels " + std::to_string(p.channels);
}

double tolerance(Dtype dtype) {
  return dtype == Dtype::kFloat64 ? 1e-11 : dtype == Dtype::kFloat32 ? 2e-5 : dtype == Dtype::kFloat16 ? 4e-3 : 3e-2;
}

// Points well between pixels: there every dtype agrees on the pixels, and slopes exist.
std::vector<double> calm_points(const Problem& p) {
  if (p.theta_size() > 0) {
    std::vector<double> theta;
    for (int64_t image = 0; image < p.batch; ++image) {
      const std::vector<double> one = {1.02, 0.13, 0.031, -0.17, 0.93, -0.047, 0.05, -0.03};
      for (int i = 0; i < p.theta_size(); ++i) theta.push_back(one[static_cast<size_t>(i)] + uniform(-1e-2, 1e-2));
    }
    return theta;
  }
  std::vector<double> points;
  for (int64_t i = 0; i < p.batch * p.output_pixels(); ++i) {
    for (int axis = 0; axis < p.dimensions; ++axis) {
      const double size = static_cast<double>(p.input[2 - axis]);
      const double pixel = std::floor(uniform(-3, size + 3)) + uniform(0.1, 0.4) + (uniform(0, 1) < 0.5 ? 0.5 : 0);
      const double extent = p.align_corners ? std::fmax(size - 1, 1) : size;
      points.push_back(p.source == Points::kPixels ? pixel
                       : p.align_corners           ? 2 * pixel / extent - 1
                                                   : (2 * pixel + 1) / extent - 1);
    }
  }
  return points;
}

Dtype points_dtype(const Problem& p) {
  return p.dtype == Dtype::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32;
}

double inner(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Samples and differentiates; compares where `points` are calm.
void check(const Problem& p, const std::vector<double>& at, bool calm) {
  const int64_t inputs = p.batch * p.input_pixels() * p.channels;
  const int64_t outputs = p.batch * p.output_pixels() * p.channels;
  const Tensor images(p.dtype, uniforms(inputs)), upstream(p.dtype, uniforms(outputs));
  const Tensor points(points_dtype(p), at);
  const Tensor output(p.dtype, static_cast<size_t>(outputs));
  Tensor to_images(p.dtype, static_cast<size_t>(inputs)), to_points(points_dtype(p), at.size());
  expect(problem_error(p).empty(), name_of(p) + ": " + problem_error(p));
  expect(sample(p, images.get(), points.get(), output.get(), thread_pool()).empty(), "memory");
  const auto gradient = [&](bool of_images, bool of_points) {
    const std::string error =
        sample_gradient(p, images.get(), points.get(), upstream.get(), of_images ? to_images.get() : nullptr,
                        of_points ? to_points.get() : nullptr, thread_pool());
    expect(error.empty(), "memory");
  };
  gradient(true, false);
  gradient(false, true);
  const std::vector<double> images_alone = to_images.values(), points_alone = to_points.values();
  gradient(true, true);
  expect(images_alone == to_images.values() || !calm, name_of(p) + ": gradient of images alone");
  expect(points_alone == to_points.values() || !calm, name_of(p) + ": gradient of points alone");
  if (!calm) return;

  const std::vector<double> expected = reference::sample(p, images.values(), points.values());
  const std::vector<double> found = output.values();
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i) worst = std::fmax(worst, std::fabs(found[i] - expected[i]));
  expect(worst <= 3 * tolerance(p.dtype), name_of(p) + ": values differ by " + std::to_string(worst));
  // The sample is linear in the images, so its transpose must give the same inner product.
  const std::vector<double> direction = uniforms(inputs);
  const double forward = inner(upstream.values(), reference::sample(p, direction, points.values()));
  const double backward = inner(to_images.values(), direction);
  const double scale = std::fmax(1, std::sqrt(static_cast<double>(outputs)));
  expect(std::fabs(forward - backward) <= 3 * scale * tolerance(p.dtype),
         name_of(p) + ": gradient of images " + std::to_string(forward) + " " + std::to_string(backward));
  if (p.dtype != Dtype::kFloat64 || p.theta_size() > 0) return;
  const std::vector<double> along = uniforms(static_cast<int64_t>(at.size()));
  const auto moved = [&](double step) {
    std::vector<double> there = at;
    for (size_t i = 0; i < there.size(); ++i) there[i] += step * along[i];
    return inner(upstream.values(), reference::sample(p, images.values(), there));
  };
  const double slope = (moved(1e-6) - moved(-1e-6)) / 2e-6, given = inner(to_points.values(), along);
  expect(std::fabs(slope - given) <= 1e-5 * std::fmax(1, std::fabs(slope)),
         name_of(p) + ": gradient of points " + std::to_string(slope) + " " + std::to_string(given));
}

Problem make(Dtype dtype, Kernel kernel, Padding padding, Points source, bool align, int dimensions,
             int64_t channels) {
  Problem p;
  p.dtype = dtype;
  p.kernel = kernel;
  p.padding = padding;
  p.source = source;
  p.align_corners = align;
  p.dimensions = dimensions;
  p.batch = 2;
  p.channels = channels;
  const int64_t input[3] = {dimensions == 3 ? 3 : 1, 4, 5}, output[3] = {dimensions == 3 ? 2 : 1, 3, 45};
  std::copy(input, input + 3, p.input);
  std::copy(output, output + 3, p.output);
  return p;
}

constexpr Dtype kDtypes[] = {Dtype::kFloat16, Dtype::kBfloat16, Dtype::kFloat32, Dtype::kFloat64};
constexpr Kernel kKernels[] = {Kernel::kNearest, Kernel::kBilinear, Kernel::kBicubic};
constexpr Padding kPaddings[] = {Padding::kZeros, Padding::kBorder, Padding::kReflection};

template <class Visit>
void every_combination(const Visit& visit) {
  for (Dtype dtype : kDtypes) {
    for (Kernel kernel : kKernels) {
      for (Padding padding : kPaddings) {
        for (bool align : {false, true}) {
          for (Points source : {Points::kGrid, Points::kPixels, Points::kAffine, Points::kProjective}) {
            for (int dimensions : {2, 3}) {
              if (dimensions == 3 && source != Points::kGrid) continue;
              visit(make(dtype, kernel, padding, source, align, dimensions, 1));
            }
          }
        }
      }
    }
  }
}

void combinations() {
  every_combination([](Problem p) {
    for (int64_t channels : {1, 2, 3, 5, 16, 33}) {
      // Volumes with bicubic have 64 taps a point: two numbers of channels will do.
      if (p.dimensions == 3 && p.kernel == Kernel::kBicubic && channels > 2) continue;
      p.channels = channels;
      if (p.kernel == Kernel::kNearest && p.theta_size() > 0) continue;  // Ties are rounding's.
      check(p, calm_points(p), true);
    }
  });
}

// Points that no user means, images of one pixel, and nothing at all: in bounds, whatever comes.
void extremes() {
  const double infinite = std::numeric_limits<double>::infinity();
  const double odd[] = {NAN,  infinite, -infinite, 1e30, -1e30, 3e38, 1, -1, 1 + 1e-7, -1 - 1e-7, 0, 0.5,
                        1e-40, 1073741824.0, -2147483648.0, 2147483648.0};
  every_combination([&](Problem p) {
    for (int shape = 0; shape < 6; ++shape) {
      Problem q = p;
      q.channels = shape == 4 ? 0 : 1 + shape;
      if (shape == 1) q.input[0] = q.input[1] = q.input[2] = 1;
      if (shape == 2) q.batch = 0;
      if (shape == 3) q.output[2] = p.theta_size() ? 1 : 0;
      if (shape == 5) q.input[1] = 1;
      const int64_t numbers = q.theta_size() ? q.batch * q.theta_size()
                                             : q.batch * q.output_pixels() * q.dimensions;
      std::vector<double> points;
      for (int64_t i = 0; i < numbers; ++i) points.push_back(odd[generator() % 16]);
      check(q, points, false);
    }
  });
}

void threads() {
  for (Dtype dtype : kDtypes) {
    for (int64_t batch : {1, 3}) {
      for (int variant = 0; variant < 12; ++variant) {
        const Points source = variant % 4 == 3 ? Points::kAffine : Points::kGrid;
        const int dimensions = variant % 4 == 2 ? 3 : 2;
        Problem p = make(dtype, kKernels[variant % 3], kPaddings[variant / 4], source, variant % 2 == 1, dimensions, 3);
        p.batch = batch;
        p.input[1] = 37, p.input[2] = 41, p.output[1] = 90, p.output[2] = 83;
        const Tensor images(dtype, uniforms(batch * p.input_pixels() * 3));
        const Tensor upstream(dtype, uniforms(batch * p.output_pixels() * 3));
        const Tensor points(points_dtype(p), calm_points(p));
        std::vector<double> first_images, first_points;
        for (int count : {1, 2, 3, 7}) {
          set_threads(count);
          Tensor to_images(dtype, images.count), to_points(points_dtype(p), points.count);
          sample_gradient(p, images.get(), points.get(), upstream.get(), to_images.get(), to_points.get(),
                          thread_pool());
          if (count == 1) first_images = to_images.values(), first_points = to_points.values();
          expect(first_images == to_images.values(), name_of(p) + ": images depend on threads");
          expect(first_points == to_points.values(), name_of(p) + ": points depend on threads");
        }
        set_threads(0);
      }
    }
  }
}

// `forks`: not under a thread sanitizer, which allows no threads in a forked child.
void callers(bool forks) {
  Problem p = make(Dtype::kFloat32, Kernel::kBilinear, Padding::kZeros, Points::kGrid, false, 2, 8);
  p.input[1] = p.input[2] = p.output[1] = p.output[2] = 64;
  const Tensor images(p.dtype, uniforms(2 * 64 * 64 * 8)), points(p.dtype, uniforms(2 * 64 * 64 * 2));
  const auto once = [&] {
    Tensor output(p.dtype, 2 * 64 * 64 * 8);
    sample(p, images.get(), points.get(), output.get(), thread_pool());
    return output.values();
  };
  set_threads(4);
  const std::vector<double> expected = once();
  std::vector<std::thread> callers;
  std::vector<int> wrong(6);
  for (size_t i = 0; i < wrong.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 10; ++round) wrong[i] += once() != expected;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (int count : wrong) expect(count == 0, "callers at once");
  set_threads(0);
  if (!forks) return;
  const pid_t child = fork();
  if (child == 0) _exit(once() == expected ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "sampling in a forked child");
}

// More than 2^31 bytes of one image, read at its last pixel.
void large() {
  if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < int64_t{6} << 30) {
    std::printf("skipped the large image: less than 6 GiB are free\n");
    return;
  }
  Problem p = make(Dtype::kFloat32, Kernel::kBilinear, Padding::kZeros, Points::kGrid, true, 2, 1);
  p.batch = 1;
  p.input[1] = 23200, p.input[2] = 23201, p.output[1] = 1, p.output[2] = 2;
  float* images = static_cast<float*>(std::calloc(static_cast<size_t>(p.input_pixels()), 4));
  images[p.input_pixels() - 1] = 7;
  const Tensor points(p.dtype, std::vector<double>{1, 1, -1, -1}), output(p.dtype, 2);
  sample(p, images, points.get(), output.get(), thread_pool());
  expect(output.values() == std::vector<double>({7, 0}), "a large image");
  std::free(images);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string part = count > 1 ? arguments[1] : "all";
  if (part == "all") combinations(), extremes(), threads(), large();
  callers(part == "all");
  std::printf("%s: %d checks, %d failed\n", instruction_set(), checks, failures);
  return failures == 0 ? 0 : 1;
}
