// The gradients of the sampler by their definition, with the floor convention at whole pixels.

#ifndef STN_TF_TESTS_REFERENCE_GRADIENT_H_
#define STN_TF_TESTS_REFERENCE_GRADIENT_H_

#include "reference.h"

namespace reference {

struct Gradients {
  Numbers images, points;
};

// Adds the gradient of theta from that of one normalised point.
inline void add_theta(const Problem& problem, const Place& place, const double* gradient,
                      double* theta) {
  const double u = gradient[0] / place.depth, v = gradient[1] / place.depth;
  const double terms[6] = {u * place.x, u * place.y, u, v * place.x, v * place.y, v};
  for (int i = 0; i < 6; ++i) theta[i] += terms[i];
  if (problem.source == Points::kAffine || place.horizon) return;
  const double depth = -(u * place.normal[0] + v * place.normal[1]);
  theta[6] += depth * place.x;
  theta[7] += depth * place.y;
}

inline Gradients gradient(const Problem& problem, const Numbers& images, const Numbers& points,
                          const Numbers& upstream) {
  const int64_t outputs = problem.output_pixels(), channels = problem.channels;
  Gradients result{Numbers(images.size()), Numbers(points.size())};
  for (int64_t image = 0; image < problem.batch; ++image) {
    for (int64_t p = 0; p < outputs; ++p) {
      const Place place = place_of(problem, points, image, p);
      const double* up = upstream.data() + (image * outputs + p) * channels;
      double of_point[3] = {};
      for_taps(problem, place, image,
               [&](const Tap& z, const Tap& y, const Tap& x, int64_t pixel) {
                 const double weight = z.weight * y.weight * x.weight;
                 double dot = 0;
                 for (int64_t c = 0; c < channels; ++c) {
                   result.images[static_cast<size_t>(pixel * channels + c)] += weight * up[c];
                   dot += up[c] * images[static_cast<size_t>(pixel * channels + c)];
                 }
                 of_point[0] += dot * x.slope * y.weight * z.weight;
                 of_point[1] += dot * x.weight * y.slope * z.weight;
                 of_point[2] += dot * x.weight * y.weight * z.slope;
               });
      for (int axis = 0; axis < 3; ++axis) of_point[axis] *= pixels_per_unit(problem, axis);
      if (problem.theta_size() > 0) {
        double* theta = result.points.data() + image * problem.theta_size();
        add_theta(problem, place, of_point, theta);
      } else {
        double* to = result.points.data() + (image * outputs + p) * problem.dimensions;
        for (int axis = 0; axis < problem.dimensions; ++axis) to[axis] = of_point[axis];
      }
    }
  }
  return result;
}

}  // namespace reference

#endif  // STN_TF_TESTS_REFERENCE_GRADIENT_H_
