// Divides a problem into units of work and has them done by the kernels of this processor.

#include "sampler.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "job.h"

namespace stn_tf {
namespace {

// Output that is done at a time: small enough for the cache and for sharing one image.
constexpr int64_t kChunkBytes = 64 * 1024;

int64_t element_size(Dtype dtype) {
  return dtype == Dtype::kFloat64 ? 8 : dtype == Dtype::kFloat32 ? 4 : 2;
}

const Kernels& kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
#if defined(STN_TF_X86)
    const char* limit = std::getenv("STN_TF_INSTRUCTION_SET");
    const auto allowed = [limit](const char* name) {
      return limit == nullptr || std::strcmp(limit, name) == 0;
    };
    __builtin_cpu_init();
    if (allowed("avx512") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
      return kAvx512;
    }
    if ((allowed("avx2") || allowed("avx512")) && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma")) {
      return kAvx2;
    }
#endif
    return kBaseline;
  }();
  return chosen;
}

template <class A>
void base_coordinates(int64_t size, bool align_corners, std::vector<double>& storage) {
  storage.resize(static_cast<size_t>(size));
  A* base = reinterpret_cast<A*>(storage.data());
  for (int64_t i = 0; i < size; ++i) {
    const double at = static_cast<double>(i), count = static_cast<double>(size);
    double value = align_corners ? 0.0 : (2 * at + 1) / count - 1;
    if (align_corners && size > 1) value = 2 * at / (count - 1) - 1;
    base[i] = static_cast<A>(value);
  }
}

// A job, and what it points to.
struct Prepared {
  Prepared(const Problem& problem, const void* images, const void* points) : job{} {
    job.problem = problem;
    job.images = images;
    job.points = points;
    const int64_t width = problem.output[2];
    const int64_t pixel_bytes = std::max<int64_t>(1, problem.channels) * element_size(problem.dtype);
    const int64_t fitting = std::max<int64_t>(1, kChunkBytes / pixel_bytes);
    if (problem.theta_size() > 0) {
      const bool wide = problem.dtype == Dtype::kFloat64;
      const auto fill = wide ? base_coordinates<double> : base_coordinates<float>;
      fill(problem.output[2], problem.align_corners, base_x);
      fill(problem.output[1], problem.align_corners, base_y);
      job.base_x = base_x.data();
      job.base_y = base_y.data();
    }
    // Of theta whole rows; other points come in no order that matters.
    job.chunk = problem.theta_size() > 0 ? std::max<int64_t>(1, fitting / width) * width
                                         : std::max<int64_t>(128, fitting / 128 * 128);
    job.chunks = (problem.output_pixels() + job.chunk - 1) / job.chunk;
    job.bands = 1;
  }

  void run(Unit unit, size_t count, Parallel& parallel) {
    struct Call {
      Unit unit;
      Job* job;
    } call{unit, &job};
    const auto work = [](void* context, size_t i) {
      const Call* call = static_cast<Call*>(context);
      call->unit(*call->job, i);
    };
    parallel.run(count, work, &call);
  }

  Job job;
  std::vector<double> base_x, base_y;
};

template <class A>
void sum_chunks(const Job& job, A* gradient) {
  const int64_t size = job.problem.theta_size();
  for (int64_t image = 0; image < job.problem.batch; ++image) {
    for (int64_t i = 0; i < size; ++i) {
      double total = 0;
      for (int64_t chunk = 0; chunk < job.chunks; ++chunk) {
        total += job.theta_sums[(image * job.chunks + chunk) * size + i];
      }
      gradient[image * size + i] = static_cast<A>(total);
    }
  }
}

constexpr const char* kOutOfMemory = "no memory is left for the sampler's scratch space";

}  // namespace

const char* instruction_set() { return kernels().name; }

std::string problem_error(const Problem& problem) {
  if (problem.batch < 0 || problem.channels < 0) return "a dimension is negative";
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  int64_t pixels = 1;
  for (int64_t size : problem.input) {
    if (size < 1) return "`images` must have at least one pixel along every axis";
    if (size > (1 << 30) || pixels > kMost / size) {
      return "an image must have fewer than 2^31 pixels, and an axis at most 2^30; "
             "sample it in parts";
    }
    pixels *= size;
  }
  int64_t numbers = std::max<int64_t>(1, problem.batch * std::max<int64_t>(1, problem.channels));
  for (int64_t size : problem.output) {
    if (size < 0) return "a dimension is negative";
    if (size > kMost || numbers > (int64_t{1} << 58) / std::max<int64_t>(1, size)) {
      return "an axis of the output must be below 2^31, and the whole below 2^58 numbers";
    }
    numbers *= std::max<int64_t>(1, size);
  }
  return "";
}

std::string sample(const Problem& problem, const void* images, const void* points, void* output,
                   Parallel& parallel) {
  if (problem.batch * problem.channels * problem.output_pixels() == 0) return "";
  Prepared prepared(problem, images, points);
  prepared.job.output = output;
  prepared.run(kernels().sample, static_cast<size_t>(problem.batch * prepared.job.chunks), parallel);
  return prepared.job.out_of_memory ? kOutOfMemory : "";
}

std::string sample_gradient(const Problem& problem, const void* images, const void* points,
                            const void* upstream, void* images_gradient, void* points_gradient,
                            Parallel& parallel) {
  const int64_t outputs = problem.output_pixels(), size = element_size(problem.dtype);
  const bool wide = problem.dtype == Dtype::kFloat64;
  if (problem.batch == 0) return "";
  if (outputs == 0 || problem.channels == 0) {
    const int64_t numbers =
        problem.batch * (problem.theta_size() ? problem.theta_size() : outputs * problem.dimensions);
    const int64_t images_size = problem.batch * problem.input_pixels() * problem.channels * size;
    if (images_gradient) std::memset(images_gradient, 0, static_cast<size_t>(images_size));
    if (points_gradient) std::memset(points_gradient, 0, static_cast<size_t>(numbers * (wide ? 8 : 4)));
    return "";
  }
  Prepared prepared(problem, images, points);
  Job& job = prepared.job;
  job.upstream = upstream;
  job.images_gradient = images_gradient;
  std::vector<double> theta_sums;
  if (points_gradient != nullptr && problem.theta_size() > 0) {
    theta_sums.resize(static_cast<size_t>(problem.batch * job.chunks * problem.theta_size()));
    job.theta_sums = theta_sums.data();
  } else {
    job.points_gradient = points_gradient;
  }
  int64_t units = problem.batch * job.chunks;
  if (images_gradient != nullptr) {
    // Every band goes through all chunks, so no more of them than keep the threads busy.
    job.bands = (parallel.threads() + problem.batch - 1) / problem.batch;
    job.bands = std::min(job.bands, problem.input_pixels());
    units = problem.batch * job.bands;
  }
  prepared.run(kernels().gradient, static_cast<size_t>(units), parallel);
  if (job.theta_sums != nullptr) {
    wide ? sum_chunks(job, static_cast<double*>(points_gradient))
         : sum_chunks(job, static_cast<float*>(points_gradient));
  }
  return job.out_of_memory ? kOutOfMemory : "";
}

}  // namespace stn_tf
