// What both bindings are given: attributes as text and shapes as lists of sizes.

#ifndef STN_TF_ARGUMENTS_H_
#define STN_TF_ARGUMENTS_H_

#include <string>
#include <vector>

#include "sampler.h"

namespace stn_tf {

using Shape = std::vector<int64_t>;

std::string to_text(const Shape& shape);

// The numbers in a tensor of that shape.
int64_t elements(const Shape& shape);

// Each reads one attribute into the problem and returns what is wrong with it, or nothing.
std::string read_kernel(const std::string& text, Problem& problem);
std::string read_padding(const std::string& text, Problem& problem);
std::string read_transform(const std::string& text, Problem& problem);

// Each fills the sizes of a problem whose attributes are known, and returns what is wrong, or
// nothing. For theta, problem.output[1] and [2] are the size that the caller wants.
std::string read_grid_shapes(const Shape& images, const Shape& grid, Problem& problem);
std::string read_theta_shapes(const Shape& images, const Shape& theta, Problem& problem);
std::string read_warp_shapes(const Shape& data, const Shape& warp, Problem& problem);

// Whether upstream has the shape of the output, `expected`.
std::string read_upstream_shape(const Shape& upstream, const Shape& expected);

// The output's shape: for points all but their last dimension, then the channels.
Shape output_shape(const Shape& points, const Problem& problem);

}  // namespace stn_tf

#endif  // STN_TF_ARGUMENTS_H_
