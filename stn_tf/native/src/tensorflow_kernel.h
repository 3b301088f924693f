// What TensorFlow calls for a node of a graph.

#ifndef STN_TF_TENSORFLOW_KERNEL_H_
#define STN_TF_TENSORFLOW_KERNEL_H_

#include <memory>

#include "sampler.h"
#include "tensorflow_c.h"

namespace stn_tf {

struct StatusDeleter {
  void operator()(TF_Status* status) const { TF_DeleteStatus(status); }
};
using Status = std::unique_ptr<TF_Status, StatusDeleter>;

// Reads the attributes of a sampler, or of its gradient; null where they are wrong. Affine stands
// for projective too: the attribute `transform` says which.
void* create_kernel(TF_OpKernelConstruction* context, Points source, bool gradient);

// Computes the outputs, or tells TensorFlow why not.
void compute_kernel(void* node, TF_OpKernelContext* context);

void destroy_kernel(void* node);

}  // namespace stn_tf

#endif  // STN_TF_TENSORFLOW_KERNEL_H_
