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
#include "movement.h"
#include "separable.h"

// Up to this many channels an upright window is read row by row.
constexpr int64_t kSeparableChannels = 4;

// Notes that memory ran out, on whichever thread.
inline void run_out(Job& job) { __atomic_store_n(&job.out_of_memory, true, __ATOMIC_RELAXED); }

// What stands ready for one image of a job.
template <class T, int R, int K>
struct View {
  using A = typename Arithmetic<T>::type;

  View(const Job& job, int64_t image)
      : problem(job.problem),
        base{static_cast<const A*>(job.base_x), static_cast<const A*>(job.base_y),
             problem.output[2]} {
    const int64_t outputs = problem.output_pixels();
    input = static_cast<const T*>(job.images) + image * problem.input_pixels() * problem.channels;
    const int64_t size = problem.theta_size() ? problem.theta_size() : outputs * R;
    points = static_cast<const A*>(job.points) + image * size;
    int64_t step = 1;
    for (int axis = 0; axis < R; ++axis) {
      axes[axis] = {problem.padding, problem.align_corners,
                    static_cast<int32_t>(problem.input[2 - axis])};
      stride[axis] = static_cast<int32_t>(step);
      step *= problem.input[2 - axis];
    }
  }

  // The taps of every axis, with slopes, and their combinations.
  void read(Tile<A, R>& tile, AxisTaps<A, K> (&taps)[R], Reads<A, power(K, R)>& reads) const {
    load_points(problem, base, points, tile);
    for (int axis = 0; axis < R; ++axis) {
      make_taps<A, K, true>(axes[axis], problem.source, tile.point[axis], taps[axis], tile.n);
    }
    combine<A, R, K>(taps, stride, tile.n, reads);
  }

  // The combinations alone.
  void read(Tile<A, R>& tile, Reads<A, power(K, R)>& reads) const {
    load_points(problem, base, points, tile);
    if constexpr (R == 2 && K == 2) {
      if (problem.padding != Padding::kReflection && axes[0].size < kNear &&
          axes[1].size < kNear) {
        const auto corners = problem.padding == Padding::kZeros ? read_corners<A, true>
                                                                : read_corners<A, false>;
        return corners(axes, problem.source, tile.point[0], tile.point[1], stride[1], tile.n,
                       reads);
      }
    }
    AxisTaps<A, K> taps[R];
    for (int axis = 0; axis < R; ++axis) {
      make_taps<A, K, false>(axes[axis], problem.source, tile.point[axis], taps[axis], tile.n);
    }
    combine<A, R, K>(taps, stride, tile.n, reads);
  }

  // Pixels per unit of a point's coordinate.
  A scale(int axis) const { return Pixels<A>(axes[axis], problem.source).scale; }

  const Problem& problem;
  Base<A> base;
  const T* input;
  const A* points;
  Axis axes[R];
  int32_t stride[R];
};

// Calls visit(first, n) for the tiles of output pixels [first, first + count).
template <class Visit>
inline void for_tiles(int64_t first, int64_t count, const Visit& visit) {
  for (int64_t at = 0; at < count; at += kTile) {
    visit(first + at, static_cast<int>(count - at < kTile ? count - at : kTile));
  }
}

template <class T, int R, int K>
void sample_chunk(Job& job, int64_t image, int64_t first, int64_t count) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const View<T, R, K> view(job, image);
  T* to = static_cast<T*>(job.output) + image * problem.output_pixels() * problem.channels;
  if constexpr (R == 2) {
    if (problem.source == Points::kAffine && problem.channels <= kSeparableChannels &&
        view.points[1] == 0 && view.points[3] == 0) {
      const int64_t width = problem.output[2];
      if (!sample_rows<T, A, K>(problem, view.base, view.points, view.input, first / width,
                                count / width, to + first * problem.channels)) {
        run_out(job);
      }
      return;
    }
  }
  Tile<A, R> tile;
  Reads<A, power(K, R)> reads;
  for_tiles(first, count, [&](int64_t at, int n) {
    tile.first = at;
    tile.n = n;
    view.read(tile, reads);
    read_tile<T, A, power(K, R)>(reads, view.input, problem.channels, n, to + at * problem.channels);
  });
}

// The gradient of the points of a tile, from the dot products of its taps.
template <class T, int R, int K>
void points_gradient(Job& job, const View<T, R, K>& view, int64_t image, int64_t chunk,
                     const Tile<typename Arithmetic<T>::type, R>& tile,
                     const AxisTaps<typename Arithmetic<T>::type, K> (&taps)[R],
                     const typename Arithmetic<T>::type (*dots)[kTile]) {
  using A = typename Arithmetic<T>::type;
  A gradient[R][kTile];
  if constexpr (R == 2 && K == 2) {
    const A x_scale = view.scale(0), y_scale = view.scale(1);
    const AxisTaps<A, 2>&x = taps[0], &y = taps[1];
    for (int i = 0; i < tile.n; ++i) {
      const A upper = dots[0][i] * x.slope[0][i] + dots[1][i] * x.slope[1][i];
      const A lower = dots[2][i] * x.slope[0][i] + dots[3][i] * x.slope[1][i];
      gradient[0][i] = (upper * y.weight[0][i] + lower * y.weight[1][i]) * x_scale;
      const A above = dots[0][i] * x.weight[0][i] + dots[1][i] * x.weight[1][i];
      const A below = dots[2][i] * x.weight[0][i] + dots[3][i] * x.weight[1][i];
      gradient[1][i] = (above * y.slope[0][i] + below * y.slope[1][i]) * y_scale;
    }
  }
  for (int axis = 0; axis < R && !(R == 2 && K == 2); ++axis) {
    A* __restrict sum = gradient[axis];
    for (int i = 0; i < tile.n; ++i) sum[i] = 0;
    for (int k = 0; k < power(K, R); ++k) {
      const A* factor[R];
      for (int other = 0; other < R; ++other) {
        const int tap = digit<K>(k, other);
        factor[other] = other == axis ? taps[other].slope[tap] : taps[other].weight[tap];
      }
      for (int i = 0; i < tile.n; ++i) {
        A term = dots[k][i];
        for (int other = 0; other < R; ++other) term *= factor[other][i];
        sum[i] += term;
      }
    }
    const A scale = view.scale(axis);
    for (int i = 0; i < tile.n; ++i) sum[i] *= scale;
  }
  if (job.theta_sums != nullptr) {
    const int size = job.problem.theta_size();
    add_theta_gradient(job.problem.source, view.points, tile, gradient,
                       job.theta_sums + (image * job.chunks + chunk) * size);
    return;
  }
  A* to = static_cast<A*>(job.points_gradient) +
          (image * job.problem.output_pixels() + tile.first) * R;
  for (int i = 0; i < tile.n; ++i) {
    for (int axis = 0; axis < R; ++axis) to[i * R + axis] = gradient[axis][i];
  }
}

// Goes through chunks of one image. Adds to the pixels [low, low + owned) of `sums`, and writes the
// gradient of the points of every `turns`-th chunk, beginning with `turn`.
template <class T, int R, int K>
void gradient_chunks(Job& job, int64_t image, int64_t begin, int64_t end, int64_t turn,
                     int64_t turns, int64_t low, int64_t owned,
                     typename Arithmetic<T>::type* sums) {
  using A = typename Arithmetic<T>::type;
  constexpr int kTaps = power(K, R);
  const Problem& problem = job.problem;
  const View<T, R, K> view(job, image);
  const int64_t outputs = problem.output_pixels();
  const T* upstream = static_cast<const T*>(job.upstream) + image * outputs * problem.channels;
  const bool whole = owned == problem.input_pixels();
  const bool want_points = job.points_gradient != nullptr || job.theta_sums != nullptr;
  Tile<A, R> tile;
  AxisTaps<A, K> taps[R];
  Reads<A, kTaps> reads;
  A dots[kTaps][kTile];
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const bool mine = want_points && chunk % turns == turn;
    if (!mine && sums == nullptr) continue;
    const int64_t first = chunk * job.chunk, left = outputs - first;
    for_tiles(first, left < job.chunk ? left : job.chunk, [&](int64_t at, int n) {
      tile.first = at;
      tile.n = n;
      if (mine) {
        view.read(tile, taps, reads);
      } else {
        view.read(tile, reads);
      }
      const T* up = upstream + at * problem.channels;
      if (mine) {
        dot_tile<T, A, kTaps>(reads, view.input, up, problem.channels, tile.n, dots);
        points_gradient<T, R, K>(job, view, image, chunk, tile, taps, dots);
      }
      if (sums == nullptr) return;
      int64_t least = low, most = low + owned - 1;
      if (!whole) find_range(reads, n, least, most);
      if (most < low || least >= low + owned) return;
      if (least >= low && most < low + owned) {
        add_tile<T, A, kTaps, true>(reads, up, problem.channels, n, low, owned, sums);
      } else {
        add_tile<T, A, kTaps, false>(reads, up, problem.channels, n, low, owned, sums);
      }
    });
  }
}

template <class T, int R, int K>
void gradient_band(Job& job, int64_t image, int64_t band) {
  using A = typename Arithmetic<T>::type;
  const Problem& problem = job.problem;
  const int64_t pixels = problem.input_pixels(), channels = problem.channels;
  const int64_t low = pixels * band / job.bands, owned = pixels * (band + 1) / job.bands - low;
  const size_t numbers = static_cast<size_t>(owned * channels);
  T* to = static_cast<T*>(job.images_gradient) + (image * pixels + low) * channels;
  // Half precision is summed in float32 and rounded once.
  constexpr bool kDirect = sizeof(T) == sizeof(A);
  Scratch scratch(kDirect ? 0 : numbers * sizeof(A));
  A* sums = kDirect ? reinterpret_cast<A*>(to) : static_cast<A*>(scratch.data);
  if (sums == nullptr) {
    run_out(job);
    return;
  }
  std::memset(sums, 0, numbers * sizeof(A));
  gradient_chunks<T, R, K>(job, image, 0, job.chunks, band, job.bands, low, owned, sums);
  if constexpr (!kDirect) {
    for (size_t i = 0; i < numbers; ++i) store(to + i, sums[i]);
  }
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
    const int64_t chunk = i % job.chunks;
    gradient_chunks<T, R, K>(job, i / job.chunks, chunk, chunk + 1, 0, 1, 0, 0, nullptr);
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
