// What the parts of the program sample.

#ifndef STN_TF_TESTS_PROBLEMS_H_
#define STN_TF_TESTS_PROBLEMS_H_

#include <algorithm>
#include <string>
#include <vector>

#include "sampler.h"

using stn_tf::Dtype;
using stn_tf::Kernel;
using stn_tf::Padding;
using stn_tf::Points;
using stn_tf::Problem;

constexpr Dtype kDtypes[] = {Dtype::kFloat16, Dtype::kBfloat16, Dtype::kFloat32, Dtype::kFloat64};
constexpr Kernel kKernels[] = {Kernel::kNearest, Kernel::kBilinear, Kernel::kBicubic};
constexpr Padding kPaddings[] = {Padding::kZeros, Padding::kBorder, Padding::kReflection};

// A problem for messages.
std::string name_of(const Problem& problem);

// Two images of 4 x 5 (x 3) pixels, read at more points than the kernels take at a time.
Problem make(Dtype dtype, Kernel kernel, Padding padding, Points source, bool align_corners,
             int dimensions, int64_t channels);

inline void set_sizes(Problem& problem, const std::vector<int64_t>& input,
                      const std::vector<int64_t>& output) {
  std::copy(input.begin(), input.end(), problem.input);
  std::copy(output.begin(), output.end(), problem.output);
}

// Points well between pixels and borders: there every dtype agrees on the pixels, and slopes exist.
std::vector<double> calm_points(const Problem& problem);

// The numbers in all points, or thetas, of a problem.
int64_t numbers_of_points(const Problem& problem);

inline Dtype points_dtype(const Problem& problem) {
  return problem.dtype == Dtype::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32;
}

// Calls visit(problem) for everything but channels, of which there is one.
template <class Visit>
void every_combination(const Visit& visit) {
  for (Dtype dtype : kDtypes) {
    for (Kernel kernel : kKernels) {
      for (Padding padding : kPaddings) {
        for (bool align : {false, true}) {
          for (Points source : {Points::kGrid, Points::kPixels}) {
            visit(make(dtype, kernel, padding, source, align, 2, 1));
            visit(make(dtype, kernel, padding, source, align, 3, 1));
          }
          visit(make(dtype, kernel, padding, Points::kAffine, align, 2, 1));
          visit(make(dtype, kernel, padding, Points::kProjective, align, 2, 1));
        }
      }
    }
  }
}

#endif  // STN_TF_TESTS_PROBLEMS_H_
