#include "comparison.h"
#include "parts.h"

void combinations() {
  every_combination([](Problem p) {
    // Volumes with bicubic read 64 pixels a point: fewer points will do.
    if (p.dimensions == 3 && p.kernel == Kernel::kBicubic) p.output[2] = 9;
    for (int64_t channels : {1, 2, 3, 4, 5, 16, 17, 29, 33}) {
      p.channels = channels;
      const bool differences = p.dtype == Dtype::kFloat64 && channels <= 3;
      check(p, calm_points(p), differences ? Compared::kSlopes : Compared::kGradients);
    }
  });
}
