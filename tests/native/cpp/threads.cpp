#include "thread_pool.h"

#include "comparison.h"
#include "parts.h"
#include "random.h"

namespace {

// The samples and the gradients of `p`; none of a gradient that is not wanted.
std::vector<Tensor> computed(const Problem& p, const Tensor& images, const Tensor& points,
                             const Tensor& upstream, bool of_images, bool of_points) {
  stn_tf::Parallel& pool = stn_tf::thread_pool();
  std::vector<Tensor> found;
  found.emplace_back(p.dtype, upstream.count);
  found.emplace_back(p.dtype, images.count);
  found.emplace_back(points.dtype, points.count);
  stn_tf::sample(p, images.get(), points.get(), found[0].get(), pool);
  stn_tf::sample_gradient(p, images.get(), points.get(), upstream.get(),
                          of_images ? found[1].get() : nullptr,
                          of_points ? found[2].get() : nullptr, pool);
  return found;
}

void compare_threads(const Problem& p) {
  const int64_t inputs = p.batch * p.input_pixels() * p.channels;
  const int64_t outputs = p.batch * p.output_pixels() * p.channels;
  const Tensor images(p.dtype, uniforms(inputs)), upstream(p.dtype, uniforms(outputs));
  const Tensor points(points_dtype(p), calm_points(p));
  for (int wanted : {1, 2, 3}) {
    std::vector<Tensor> alone;
    for (int count : {1, 2, 3, 7}) {
      stn_tf::set_threads(count);
      std::vector<Tensor> found =
          computed(p, images, points, upstream, wanted & 1, wanted & 2);
      if (count == 1) alone = std::move(found);
      else expect(found == alone, name_of(p) + ": differs with " + std::to_string(count) + " threads");
    }
  }
  // The definition is slow.
  if (p.batch == 1) check(p, calm_points(p), Compared::kGradients);
  stn_tf::set_threads(0);
}

}  // namespace

void threads() {
  for (Dtype dtype : kDtypes) {
    for (int64_t batch : {1, 3}) {
      for (size_t i = 0; i < 18; ++i) {
        const Points sources[] = {Points::kGrid, Points::kAffine, Points::kProjective};
        const Points source = sources[i / 3 % 3];
        const int dimensions = source == Points::kGrid && i % 2 == 1 ? 3 : 2;
        Problem p = make(dtype, kKernels[i % 3], kPaddings[(i + i / 3) % 3], source, i % 2 == 0,
                         dimensions, i < 9 ? 5 : 12);
        p.batch = batch;
        if (dimensions == 2) set_sizes(p, {1, 37, 41}, {1, 60, 53});
        if (dimensions == 3) set_sizes(p, {3, 11, 13}, {3, 31, 29});
        compare_threads(p);
      }
      // Of one channel, whose bands of pixels reach into each other.
      for (const Points source : {Points::kGrid, Points::kAffine, Points::kProjective}) {
        for (const Padding padding : {Padding::kZeros, Padding::kBorder}) {
          Problem p = make(dtype, Kernel::kBilinear, padding, source, false, 2, 1);
          p.batch = batch;
          set_sizes(p, {1, 37, 41}, {1, 60, 53});
          compare_threads(p);
        }
      }
      // Upright windows: of many rows at a time, and of long rows.
      for (const Kernel kernel : kKernels) {
        Problem p = make(dtype, kernel, Padding::kZeros, Points::kAffine, false, 2, 1);
        p.batch = batch + 1;
        set_sizes(p, {1, 37, 41}, {1, 300, 5});
        compare_threads(p);
        check(p, calm_points(p), Compared::kGradients);
        set_sizes(p, {1, 37, 41}, {1, 5, 300});
        check(p, calm_points(p), Compared::kGradients);
        set_sizes(p, {1, 37, 41}, {1, 80, 150});
        compare_threads(p);
        check(p, calm_points(p), Compared::kGradients);
      }
    }
  }
}
