#include "problems.h"

#include "random.h"
#include "reference.h"

std::string name_of(const Problem& p) {
  const char* dtypes[] = {"float16", "bfloat16", "float32", "float64"};
  const char* kernels[] = {"nearest", "bilinear", "bicubic"};
  const char* paddings[] = {"zeros", "border", "reflection"};
  const char* sources[] = {"grid", "pixels", "affine", "projective"};
  std::string name = dtypes[static_cast<int>(p.dtype)];
  name += std::string(" ") + kernels[static_cast<int>(p.kernel)];
  name += std::string(" ") + paddings[static_cast<int>(p.padding)];
  name += std::string(" ") + sources[static_cast<int>(p.source)];
  name += p.align_corners ? " aligned" : "";
  const int64_t sizes[] = {p.batch,     p.channels,  p.input[0],  p.input[1],
                           p.input[2],  p.output[0], p.output[1], p.output[2]};
  const char* names[] = {" N=", " C=", " from ", "x", "x", " to ", "x", "x"};
  for (int i = 0; i < 8; ++i) name += names[i] + std::to_string(sizes[i]);
  return name;
}

Problem make(Dtype dtype, Kernel kernel, Padding padding, Points source, bool align_corners,
             int dimensions, int64_t channels) {
  Problem p;
  p.dtype = dtype;
  p.kernel = kernel;
  p.padding = padding;
  p.source = source;
  p.align_corners = align_corners;
  p.dimensions = dimensions;
  p.batch = 2;
  p.channels = channels;
  if (dimensions == 3) {
    set_sizes(p, {3, 4, 5}, {2, 3, 45});
  } else {
    set_sizes(p, {1, 4, 5}, {1, 3, 45});
  }
  return p;
}

int64_t numbers_of_points(const Problem& p) {
  return p.batch * (p.theta_size() ? p.theta_size() : p.output_pixels() * p.dimensions);
}

namespace {

// Whether no point is near to a whole or a half pixel, where slopes or the nearest pixel change.
bool is_calm(const Problem& p, const std::vector<double>& points, int64_t image) {
  for (int64_t i = 0; i < p.output_pixels(); ++i) {
    const reference::Place place = reference::place_of(p, points, image, i);
    for (int axis = 0; axis < p.dimensions; ++axis) {
      const double doubled = 2 * place.pixel[axis];
      if (std::fabs(doubled - std::nearbyint(doubled)) < 1e-4) return false;
    }
  }
  return true;
}

std::vector<double> calm_thetas(const Problem& p) {
  const double usual[] = {1.02, 0.13, 0.031, -0.17, 0.93, -0.047, 0.05, -0.03};
  const size_t size = static_cast<size_t>(p.theta_size());
  std::vector<double> thetas(static_cast<size_t>(p.batch) * size);
  for (int64_t image = 0; image < p.batch; ++image) {
    // Every second image of an affine problem is an upright window, which has a path of its own.
    const bool upright = p.source == Points::kAffine && image % 2 == 1;
    double* theta = thetas.data() + image * p.theta_size();
    do {
      for (size_t i = 0; i < size; ++i) theta[i] = usual[i] + uniform(-0.05, 0.05);
      if (upright) theta[1] = theta[3] = 0;
    } while (!is_calm(p, thetas, image));
  }
  return thetas;
}

}  // namespace

std::vector<double> calm_points(const Problem& p) {
  if (p.theta_size() > 0) return calm_thetas(p);
  std::vector<double> points;
  for (int64_t i = 0; i < p.batch * p.output_pixels(); ++i) {
    for (int axis = 0; axis < p.dimensions; ++axis) {
      const double size = static_cast<double>(p.input[2 - axis]);
      const double part = uniform(0.1, 0.4) + (uniform(0, 1) < 0.5 ? 0.5 : 0);
      const double pixel = std::floor(uniform(-3, size + 3)) + part;
      const double extent = p.align_corners ? std::fmax(size - 1, 1) : size;
      points.push_back(p.source == Points::kPixels ? pixel
                       : p.align_corners           ? 2 * pixel / extent - 1
                                                   : (2 * pixel + 1) / extent - 1);
    }
  }
  return points;
}
