#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "comparison.h"
#include "parts.h"
#include "thread_pool.h"

namespace {

constexpr int64_t kNeeded = int64_t{6} << 30;

// Bilinear axes of 2^21 pixels and more are read by other code than shorter ones.
void long_axes(Dtype dtype, Padding padding, Points source, int64_t size) {
  Problem p = make(dtype, Kernel::kBilinear, padding, source, false, 2, 1);
  const double end = static_cast<double>(size);
  // In pixels; of float32's steps there, which are a quarter of a pixel.
  std::vector<double> points = {-1, -0.75, -0.5, 0, 0.25, 100.5, end - 1.25, end - 1, end - 0.75,
                                end - 0.5, end, end + 1, -2, 2 * end};
  // Each beside itself along y, where it is far outside or in the one row.
  p.batch = 1;
  set_sizes(p, {1, 1, size}, {1, 1, static_cast<int64_t>(points.size())});
  std::vector<double> pairs;
  for (double x : points) {
    pairs.push_back(source == Points::kPixels ? x : (2 * x + 1) / end - 1);
    pairs.push_back(source == Points::kPixels ? 0.25 : 0.5);
  }
  // Normalised points so far from 0 are rounded: in float64 across a border, where slopes change,
  // and in float32 by pixels.
  const bool pixels = source == Points::kPixels, wide = dtype == Dtype::kFloat64;
  check(p, pairs, pixels ? Compared::kGradients : wide ? Compared::kValues : Compared::kNothing);
}

// The gradients of one channel are summed in another way where an image is large.
void images_beyond_squares(Dtype dtype, Padding padding) {
  Problem p = make(dtype, Kernel::kBilinear, padding, Points::kProjective, false, 2, 1);
  p.batch = 1;
  for (int64_t height : {1024, 1025}) {
    set_sizes(p, {1, height, 1024}, {1, 5, 7});
    check(p, calm_points(p), Compared::kGradients);
  }
}

// More than 2^31 bytes of one image, read at its first and its last pixel.
void large_image() {
  if (sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) < kNeeded) {
    std::printf("skipped the large image: less than 6 GiB are free\n");
    return;
  }
  Problem p = make(Dtype::kFloat32, Kernel::kBilinear, Padding::kZeros, Points::kGrid, true, 2, 1);
  p.batch = 1;
  set_sizes(p, {1, 23200, 23201}, {1, 1, 3});
  const size_t pixels = static_cast<size_t>(p.input_pixels());
  const std::unique_ptr<float, void (*)(void*)> images(
      static_cast<float*>(std::calloc(pixels, sizeof(float))), std::free);
  expect(images != nullptr, "memory for a large image");
  if (images == nullptr) return;
  images.get()[pixels - 1] = 7;
  images.get()[0] = 3;
  const Tensor points(p.dtype, std::vector<double>{1, 1, -1, -1, 0.5, 0.5}), output(p.dtype, 3);
  const Tensor upstream(p.dtype, std::vector<double>{1, 1, 1}), gradient(p.dtype, 6);
  stn_tf::Parallel& pool = stn_tf::thread_pool();
  stn_tf::sample(p, images.get(), points.get(), output.get(), pool);
  expect(output.values() == std::vector<double>({7, 3, 0}), "a large image");
  stn_tf::sample_gradient(p, images.get(), points.get(), upstream.get(), nullptr, gradient.get(),
                          pool);
  // At the last pixel the next one is padding; at the first it is 0.
  const std::vector<double> slopes = {-7 * 11600.0,  -7 * 11599.5, -3 * 11600.0,
                                      -3 * 11599.5, 0,            0};
  expect(gradient.values() == slopes, "the gradient of a large image");
}

}  // namespace

void large() {
  for (Dtype dtype : {Dtype::kFloat32, Dtype::kFloat64}) {
    for (Padding padding : kPaddings) {
      for (int64_t size : {(1 << 21) - 1, 1 << 21, (1 << 21) + 3}) {
        long_axes(dtype, padding, Points::kPixels, size);
        long_axes(dtype, padding, Points::kGrid, size);
      }
      images_beyond_squares(dtype, padding);
    }
  }
  large_image();
}
