// What a node of a TensorFlow graph computes.

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "arguments.h"
#include "halves.h"
#include "tensorflow_kernel.h"
#include "thread_pool.h"

namespace stn_tf {
namespace {

struct TensorDeleter {
  void operator()(TF_Tensor* tensor) const { TF_DeleteTensor(tensor); }
};
using Tensor = std::unique_ptr<TF_Tensor, TensorDeleter>;

// What a node of a graph is: one of three samplers, forward or backward.
struct Node {
  std::string name;  // Of the operation, for messages.
  Points source = Points::kGrid;
  bool gradient = false;
  bool want_images = true, want_points = true;
  TF_DataType dtype = TF_FLOAT;
  Problem problem;
};

TF_DataType points_dtype(const Node& node) {
  if (node.source == Points::kPixels) return node.dtype;
  return node.dtype == TF_DOUBLE ? TF_DOUBLE : TF_FLOAT;
}

size_t size_of(TF_DataType dtype) {
  return dtype == TF_DOUBLE ? 8 : dtype == TF_FLOAT ? 4 : 2;
}

Dtype dtype_of(TF_DataType dtype) {
  switch (dtype) {
    case TF_HALF: return Dtype::kFloat16;
    case TF_BFLOAT16: return Dtype::kBfloat16;
    case TF_DOUBLE: return Dtype::kFloat64;
    default: return Dtype::kFloat32;
  }
}

std::string text_attribute(TF_OpKernelConstruction* context, const char* name, TF_Status* status) {
  int32_t list_size = 0, size = 0;
  TF_OpKernelConstruction_GetAttrSize(context, name, &list_size, &size, status);
  if (TF_GetCode(status) != TF_OK || size < 0) return "";
  std::string text(static_cast<size_t>(size), '\0');
  TF_OpKernelConstruction_GetAttrString(context, name, &text[0], text.size(), status);
  return text;
}

bool flag_attribute(TF_OpKernelConstruction* context, const char* name, TF_Status* status) {
  unsigned char value = 0;
  TF_OpKernelConstruction_GetAttrBool(context, name, &value, status);
  return value != 0;
}

std::string read_attributes(TF_OpKernelConstruction* context, Node& node, TF_Status* status) {
  TF_OpKernelConstruction_GetAttrType(context, "T", &node.dtype, status);
  node.problem.dtype = dtype_of(node.dtype);
  node.problem.source = node.source;
  if (node.source == Points::kPixels) {
    node.problem.align_corners = true;
    return "";
  }
  if (node.gradient) {
    node.want_images = flag_attribute(context, "want_images", status);
    node.want_points = flag_attribute(context, "want_points", status);
  }
  node.problem.align_corners = flag_attribute(context, "align_corners", status);
  std::string error = read_kernel(text_attribute(context, "kernel", status), node.problem);
  if (error.empty()) error = read_padding(text_attribute(context, "padding", status), node.problem);
  if (error.empty() && node.source != Points::kGrid) {
    error = read_transform(text_attribute(context, "transform", status), node.problem);
    TF_OpKernelConstruction_GetAttrInt64(context, "height", &node.problem.output[1], status);
    TF_OpKernelConstruction_GetAttrInt64(context, "width", &node.problem.output[2], status);
  }
  return error;
}

Shape shape_of(const Tensor& tensor) {
  Shape shape(static_cast<size_t>(TF_NumDims(tensor.get())));
  for (size_t i = 0; i < shape.size(); ++i) {
    shape[i] = TF_Dim(tensor.get(), static_cast<int>(i));
  }
  return shape;
}

// One execution of a node; its first error ends it.
class Execution {
 public:
  Execution(const Node& node, TF_OpKernelContext* context)
      : node_(node), problem_(node.problem), context_(context), status_(TF_NewStatus()) {}

  void run() {
    bool succeeded = false;
    try {
      succeeded = compute();
    } catch (const std::bad_alloc&) {
      fail(TF_RESOURCE_EXHAUSTED, "no memory is left");
    }
    if (!succeeded) TF_OpKernelContext_Failure(context_, status_.get());
  }

 private:
  bool compute() {
    Tensor images = input(0), points = input(1);
    if (!images || !points) return false;
    const Shape shape = shape_of(images), points_shape = shape_of(points);
    const std::string error = read_shapes(shape, points_shape);
    if (!error.empty()) return fail(TF_INVALID_ARGUMENT, error);
    const Shape samples = output_shape(points_shape, problem_);
    // TensorFlow Addons had points in half precision; they are computed in float32.
    const std::vector<float> wide = widened(points, points_shape);
    const void* at = wide.empty() ? TF_TensorData(points.get()) : wide.data();
    if (!node_.gradient) {
      Tensor output = allocate(0, node_.dtype, samples);
      if (!output) return false;
      return done(sample(problem_, TF_TensorData(images.get()), at, TF_TensorData(output.get()),
                         thread_pool()));
    }
    Tensor upstream = input(2);
    if (!upstream) return false;
    const std::string mismatch = read_upstream_shape(shape_of(upstream), samples);
    if (!mismatch.empty()) return fail(TF_INVALID_ARGUMENT, mismatch);
    Tensor to_images = allocate(0, node_.dtype, node_.want_images ? shape : Shape{0});
    Tensor to_points = allocate(1, points_dtype(node_), node_.want_points ? points_shape : Shape{0});
    if (!to_images || !to_points) return false;
    std::vector<float> narrow(wide.size());
    void* sums = wide.empty() ? TF_TensorData(to_points.get()) : narrow.data();
    const std::string failure = sample_gradient(
        problem_, TF_TensorData(images.get()), at, TF_TensorData(upstream.get()),
        node_.want_images ? TF_TensorData(to_images.get()) : nullptr,
        node_.want_points ? sums : nullptr, thread_pool());
    round_floats(node_.problem.dtype, narrow.data(), narrow.size(), TF_TensorData(to_points.get()));
    return done(failure);
  }

  std::string read_shapes(const Shape& images, const Shape& points) {
    switch (node_.source) {
      case Points::kGrid: return read_grid_shapes(images, points, problem_);
      case Points::kPixels: return read_warp_shapes(images, points, problem_);
      default: return read_theta_shapes(images, points, problem_);
    }
  }

  std::vector<float> widened(const Tensor& points, const Shape& shape) {
    if (node_.source != Points::kPixels || size_of(node_.dtype) != 2) return {};
    std::vector<float> wide(static_cast<size_t>(elements(shape)));
    widen_halves(problem_.dtype, TF_TensorData(points.get()), wide.size(), wide.data());
    return wide;
  }

  Tensor input(int i) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, i, &tensor, status_.get());
    return Tensor(TF_GetCode(status_.get()) == TF_OK ? tensor : nullptr);
  }

  Tensor allocate(int i, TF_DataType dtype, const Shape& shape) {
    const size_t bytes = static_cast<size_t>(elements(shape)) * size_of(dtype);
    Tensor tensor(TF_AllocateOutput(context_, i, dtype, shape.data(),
                                    static_cast<int>(shape.size()), bytes, status_.get()));
    return TF_GetCode(status_.get()) == TF_OK ? std::move(tensor) : nullptr;
  }

  bool done(const std::string& failure) {
    return failure.empty() || fail(TF_RESOURCE_EXHAUSTED, failure);
  }

  bool fail(TF_Code code, const std::string& message) {
    TF_SetStatus(status_.get(), code, (node_.name + ": " + message + ".").c_str());
    return false;
  }

  const Node& node_;
  Problem problem_;
  TF_OpKernelContext* context_;
  Status status_;
};

}  // namespace

void* create_kernel(TF_OpKernelConstruction* context, Points source, bool gradient) {
  auto node = std::make_unique<Node>();
  node->source = source;
  node->gradient = gradient;
  node->name = source == Points::kGrid     ? "StnTf>GridSample"
               : source == Points::kPixels ? "Addons>Resampler"
                                           : "StnTf>Warp";
  Status status(TF_NewStatus());
  const std::string error = read_attributes(context, *node, status.get());
  if (TF_GetCode(status.get()) == TF_OK && !error.empty()) {
    TF_SetStatus(status.get(), TF_INVALID_ARGUMENT, (node->name + ": " + error + ".").c_str());
  }
  if (TF_GetCode(status.get()) != TF_OK) {
    TF_OpKernelConstruction_Failure(context, status.get());
    return nullptr;
  }
  return node.release();
}

void compute_kernel(void* node, TF_OpKernelContext* context) {
  if (node != nullptr) Execution(*static_cast<const Node*>(node), context).run();
}

void destroy_kernel(void* node) { delete static_cast<Node*>(node); }

}  // namespace stn_tf
