// A problem in progress: what the kernels of every instruction set are given.

#ifndef STN_TF_JOB_H_
#define STN_TF_JOB_H_

#include "sampler.h"

namespace stn_tf {

struct Job {
  Problem problem;
  const void* images;
  const void* points;
  const void* upstream;
  void* output;           // Forward: the samples.
  void* images_gradient;  // Backward: null if nobody needs it.
  void* points_gradient;  // Backward: of tensors of points only.
  double* theta_sums;     // Backward: [N, chunks, theta], or null.
  const void* base_x;     // Normalised coordinates of output columns and rows, for theta.
  const void* base_y;
  int64_t chunk;          // Output pixels that are done at a time: depends on shapes alone.
  int64_t chunks;         // In one image.
  int64_t bands;          // Of an input image, each with one owner, for its gradient.
  bool out_of_memory;     // Set by the kernels.
};

// Unit i of a job: forward, chunk i % chunks of image i / chunks; backward, band i % bands of
// image i / bands, or a chunk where no gradient of the images is wanted.
using Unit = void (*)(Job& job, size_t i);

struct Kernels {
  const char* name;
  Unit sample;
  Unit gradient;
};

extern const Kernels kBaseline;
#if defined(STN_TF_X86)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#endif

}  // namespace stn_tf

#endif  // STN_TF_JOB_H_
