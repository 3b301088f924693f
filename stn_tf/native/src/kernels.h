// The kernels: every combination of dtype, dimensions and sampling kernel, for one instruction set.
//
// Included by kernels_*.cpp, each compiled for its own instruction set, with STN_TF_ISA as the
// namespace. Nothing of the standard library that is a template may be used below: the linker would
// keep one copy of it for all, compiled for whichever instruction set.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "job.h"

namespace stn_tf {
namespace STN_TF_ISA {

#include "numbers.h"
#include "taps.h"
#include "points.h"
#include "reads.h"
#include "products.h"
#include "additions.h"
#include "separable.h"
#include "squares.h"
#include "view.h"
#include "parts.h"
#include "square_gradients.h"
#include "gradients.h"

// Up to this many channels an upright window is read row by row.
constexpr int64_t kSeparableChannels = 4;

// Whether an image is read row by row.
template <class T, int R, int K>
bool is_window(const View<T, R, K>& view) {
  return R == 2 && view.problem.source == Points::kAffine &&
         view.problem.channels <= kSeparableChannels && view.points[1] == 0 && view.points[3] == 0;
}

template <class T, int R, int K>
void sample_chunk(Job& job, int64_t image, int64_t first, int64_t count) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const int64_t channels = problem.channels, width = problem.output[2];
  const View<T, R, K> view(job, image);
  T* to = static_cast<T*>(job.output) + image * problem.output_pixels() * channels;
  Tile<A, R> tile;
  if constexpr (R == 2) {
    if (is_window(view)) {
      const bool read = sample_rows<T, A, K>(problem, view.base, view.points, view.input,
                                             first / width, count / width, to + first * channels);
      if (!read) run_out(job);
      return;
    }
  }
  if constexpr (R == 2 && K == 2) {
    if (view.squares()) {
      Squares<A> squares;
      Corners<T> corners;
      for_tiles(first, count, [&](int64_t at, int n) {
        tile.first = at;
        tile.n = n;
        view.template read<false>(tile, squares);
        copy_corners(squares, view.input, problem.input[2], n, corners);
        sum_squares(squares, corners, n, to + at);
      });
      return;
    }
  }
  Reads<A, power(K, R)> reads;
  for_tiles(first, count, [&](int64_t at, int n) {
    tile.first = at;
    tile.n = n;
    view.read(tile, reads);
    read_tile<T, A, power(K, R)>(reads, view.input, channels, n, to + at * channels);
  });
}

template <class T, int R, int K>
void run_sample(Job& job, size_t unit) {
  const int64_t image = static_cast<int64_t>(unit) / job.chunks;
  const int64_t first = static_cast<int64_t>(unit) % job.chunks * job.chunk;
  const int64_t left = job.problem.output_pixels() - first;
  sample_chunk<T, R, K>(job, image, first, left < job.chunk ? left : job.chunk);
}

template <class T, int R, int K>
void run_gradient(Job& job, size_t unit) {
  const int64_t i = static_cast<int64_t>(unit);
  if (job.images_gradient != nullptr) {
    gradient_band<T, R, K>(job, i / job.bands, i % job.bands);
  } else {
    gradient_chunk<T, R, K>(job, i / job.chunks, i % job.chunks);
  }
}

template <bool kGradient, class T, int R>
void choose_kernel(Job& job, size_t unit) {
  switch (job.problem.kernel) {
    case Kernel::kNearest:
      return kGradient ? run_gradient<T, R, 1>(job, unit) : run_sample<T, R, 1>(job, unit);
    case Kernel::kBilinear:
      return kGradient ? run_gradient<T, R, 2>(job, unit) : run_sample<T, R, 2>(job, unit);
    case Kernel::kBicubic:
      return kGradient ? run_gradient<T, R, 4>(job, unit) : run_sample<T, R, 4>(job, unit);
  }
}

template <bool kGradient, class T>
void choose_dimensions(Job& job, size_t unit) {
  return job.problem.dimensions == 2 ? choose_kernel<kGradient, T, 2>(job, unit)
                                     : choose_kernel<kGradient, T, 3>(job, unit);
}

template <bool kGradient>
void choose_dtype(Job& job, size_t unit) {
  switch (job.problem.dtype) {
    case Dtype::kFloat16: return choose_dimensions<kGradient, Half>(job, unit);
    case Dtype::kBfloat16: return choose_dimensions<kGradient, Bfloat16>(job, unit);
    case Dtype::kFloat32: return choose_dimensions<kGradient, float>(job, unit);
    case Dtype::kFloat64: return choose_dimensions<kGradient, double>(job, unit);
  }
}

}  // namespace STN_TF_ISA
}  // namespace stn_tf
