// Whole tensors in half precision to float32 and back.

#ifndef STN_TF_HALVES_H_
#define STN_TF_HALVES_H_

#include <cstddef>

#include "sampler.h"

namespace stn_tf {

void widen_halves(Dtype dtype, const void* from, size_t count, float* to);
void round_floats(Dtype dtype, const float* from, size_t count, void* to);

}  // namespace stn_tf

#endif  // STN_TF_HALVES_H_
