#include "arguments.h"

namespace stn_tf {
namespace {

std::string choice_error(const char* name, const char* choices, const std::string& text) {
  return std::string("`") + name + "` must be one of " + choices + ", but it is \"" + text + "\"";
}

void read_images(const Shape& images, Problem& problem) {
  problem.dimensions = static_cast<int>(images.size()) - 2;
  problem.batch = images.front();
  problem.channels = images.back();
  for (int axis = 0; axis < problem.dimensions; ++axis) {
    problem.input[3 - problem.dimensions + axis] = images[static_cast<size_t>(axis) + 1];
  }
}

}  // namespace

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t elements(const Shape& shape) {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

std::string read_kernel(const std::string& text, Problem& problem) {
  if (text == "nearest") {
    problem.kernel = Kernel::kNearest;
  } else if (text == "bilinear") {
    problem.kernel = Kernel::kBilinear;
  } else if (text == "bicubic") {
    problem.kernel = Kernel::kBicubic;
  } else {
    return choice_error("kernel", "bilinear, nearest, bicubic", text);
  }
  return "";
}

std::string read_padding(const std::string& text, Problem& problem) {
  if (text == "zeros") {
    problem.padding = Padding::kZeros;
  } else if (text == "border") {
    problem.padding = Padding::kBorder;
  } else if (text == "reflection") {
    problem.padding = Padding::kReflection;
  } else {
    return choice_error("padding", "zeros, border, reflection", text);
  }
  return "";
}

std::string read_transform(const std::string& text, Problem& problem) {
  if (text == "affine") {
    problem.source = Points::kAffine;
  } else if (text == "projective") {
    problem.source = Points::kProjective;
  } else {
    return choice_error("transform", "affine, projective", text);
  }
  return "";
}

std::string read_grid_shapes(const Shape& images, const Shape& grid, Problem& problem) {
  if (images.size() != 4 && images.size() != 5) {
    return "`images` must be [N, H, W, C] or [N, D, H, W, C], but they are " + to_text(images);
  }
  read_images(images, problem);
  const int64_t dimensions = problem.dimensions;
  if (grid.size() != images.size() || grid.back() != dimensions || grid[0] != images[0]) {
    return std::string("`grid` must be ") + (dimensions == 2 ? "[N, h, w, 2]" : "[N, d, h, w, 3]") +
           " with the N of `images` " + to_text(images) + ", but it is " + to_text(grid);
  }
  for (int axis = 0; axis < dimensions; ++axis) {
    problem.output[3 - dimensions + axis] = grid[static_cast<size_t>(axis) + 1];
  }
  problem.source = Points::kGrid;
  return problem_error(problem);
}

std::string read_theta_shapes(const Shape& images, const Shape& theta, Problem& problem) {
  if (images.size() != 4) return "`images` must be [N, H, W, C], but they are " + to_text(images);
  read_images(images, problem);
  const bool affine = problem.source == Points::kAffine;
  const Shape expected = affine ? Shape{images[0], 2, 3} : Shape{images[0], 8};
  if (theta != expected) {
    return std::string("`theta` must be ") + (affine ? "[N, 2, 3]" : "[N, 8]") +
           " with the N of `images` " + to_text(images) + ", but it is " + to_text(theta);
  }
  if (problem.output[1] < 1 || problem.output[2] < 1) {
    return "`height` and `width` must be at least 1, but they are " +
           to_text({problem.output[1], problem.output[2]});
  }
  return problem_error(problem);
}

std::string read_warp_shapes(const Shape& data, const Shape& warp, Problem& problem) {
  if (data.size() != 4) return "`data` must be [N, H, W, C], but it is " + to_text(data);
  read_images(data, problem);
  if (warp.size() < 2 || warp.back() != 2 || warp[0] != data[0]) {
    return "`warp` must be [N, ..., 2] with the N of `data` " + to_text(data) + ", but it is " +
           to_text(warp);
  }
  problem.output[1] = 1;
  problem.output[2] = elements(Shape(warp.begin() + 1, warp.end() - 1));
  problem.source = Points::kPixels;
  return problem_error(problem);
}

std::string read_upstream_shape(const Shape& upstream, const Shape& expected) {
  if (upstream == expected) return "";
  return "the gradient must have the shape of the output, " + to_text(expected) + ", but it is " +
         to_text(upstream);
}

Shape output_shape(const Shape& points, const Problem& problem) {
  Shape shape = {problem.batch, problem.output[1], problem.output[2]};
  if (problem.theta_size() == 0) shape.assign(points.begin(), points.end() - 1);
  shape.push_back(problem.channels);
  return shape;
}

}  // namespace stn_tf
