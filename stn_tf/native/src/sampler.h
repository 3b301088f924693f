// The sampler as the two bindings see it: what to read, and two functions that do it.
//
// Images are [N, D, H, W, C], contiguous; planes have D = 1. Points are (x, y) or (x, y, z), as in
// stn_tf.sampling.grid_sample, whose docstring gives the semantics.

#ifndef STN_TF_SAMPLER_H_
#define STN_TF_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace stn_tf {

enum class Dtype { kFloat16, kBfloat16, kFloat32, kFloat64 };
enum class Kernel { kNearest, kBilinear, kBicubic };
enum class Padding { kZeros, kBorder, kReflection };

// Where the points come from: a tensor of normalised points, one of pixel coordinates (as in
// TensorFlow Addons), or theta, of which no grid is made in memory.
enum class Points { kGrid, kPixels, kAffine, kProjective };

struct Problem {
  Dtype dtype = Dtype::kFloat32;  // Of the images; points are float64 for float64, else float32.
  Kernel kernel = Kernel::kBilinear;
  Padding padding = Padding::kZeros;
  Points source = Points::kGrid;
  bool align_corners = false;
  int dimensions = 2;
  int64_t batch = 0;
  int64_t channels = 0;
  int64_t input[3] = {1, 1, 1};   // D, H, W.
  int64_t output[3] = {1, 1, 1};  // d, h, w.

  int64_t input_pixels() const { return input[0] * input[1] * input[2]; }
  int64_t output_pixels() const { return output[0] * output[1] * output[2]; }
  // Numbers of a theta, 0 for tensors of points.
  int theta_size() const {
    return source == Points::kAffine ? 6 : source == Points::kProjective ? 8 : 0;
  }
};

// Runs work(context, i) for i in [0, count), in any order, on one or more threads.
class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual int threads() const = 0;
  virtual void run(size_t count, void (*work)(void*, size_t), void* context) = 0;
};

// What is wrong with a problem, or nothing. The bindings call it before anything is allocated.
std::string problem_error(const Problem& problem);

// Writes the samples [N, d, h, w, C]. Returns what went wrong, or nothing.
std::string sample(const Problem& problem, const void* images, const void* points, void* output,
                   Parallel& parallel);

// Writes the gradients of the images and of the points (of theta, where there is no grid), each
// unless it is null. Equal bit for bit for any number of threads. Returns as `sample` does.
std::string sample_gradient(const Problem& problem, const void* images, const void* points,
                            const void* upstream, void* images_gradient, void* points_gradient,
                            Parallel& parallel);

// The instruction set in use: "avx512", "avx2" or "baseline".
const char* instruction_set();

}  // namespace stn_tf

#endif  // STN_TF_SAMPLER_H_
