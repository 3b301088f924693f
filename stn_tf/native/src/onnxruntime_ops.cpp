// The ONNX Runtime operations of the domain ai.stn_tf.
//
// GridSample(images [N, H, W, C], grid), GridSample3D(images [N, D, H, W, C], grid),
// AffineGridSample(images [N, H, W, C], theta [N, 2, 3]) and ProjectiveGridSample(images, theta
// [N, 8]), with the attributes kernel, padding, align_corners; the last two also height and width.
// Volumes have a name of their own because a function in a file, which stands in where this library
// is missing, has one number of dimensions.

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "onnxruntime_c.h"

namespace stn_tf {
namespace {

constexpr const char* kDomain = "ai.stn_tf";

// The threads of the session that runs the node.
class SessionThreads final : public Parallel {
 public:
  SessionThreads(const OrtApi* api, const OrtKernelContext* context)
      : api_(api), context_(context) {}
  SessionThreads(const SessionThreads&) = delete;
  SessionThreads& operator=(const SessionThreads&) = delete;
  ~SessionThreads() override {
    if (failure_ != nullptr) ort::ReleaseStatus::call(api_, failure_);
  }
  int threads() const override { return 1; }  // Only gradients ask.
  void run(size_t count, void (*work)(void*, size_t), void* context) override {
    if (count == 1) return work(context, 0);
    OrtStatus* status =
        ort::KernelContext_ParallelFor::call(api_, context_, work, count, size_t{0}, context);
    if (status == nullptr) return;
    if (failure_ == nullptr) {
      failure_ = status;
    } else {
      ort::ReleaseStatus::call(api_, status);
    }
  }
  // Hands over why work was not done, or null.
  OrtStatus* take_failure() { return std::exchange(failure_, nullptr); }

 private:
  const OrtApi* api_;
  const OrtKernelContext* context_;
  OrtStatus* failure_ = nullptr;
};

struct Instance {
  const OrtApi* api;
  const char* name;
  int dimensions;
  Problem problem;
};

// One variant of an operation: ONNX Runtime joins those of one name.
struct Op : OrtCustomOp {
  const char* name;
  Points source;
  int dimensions;  // Of the points.
  ONNXTensorElementDataType element;
};

OrtStatus* failure(const OrtApi* api, const char* name, const std::string& error) {
  const std::string message = std::string(kDomain) + "::" + name + ": " + error + ".";
  return ort::CreateStatus::call(api, ORT_INVALID_ARGUMENT, message.c_str());
}

std::string text_attribute(const OrtApi* api, const OrtKernelInfo* info, const char* name,
                           const char* otherwise) {
  size_t size = 0;
  OrtStatus* status =
      ort::KernelInfoGetAttribute_string::call(api, info, name, (char*)nullptr, &size);
  if (status != nullptr) ort::ReleaseStatus::call(api, status);
  if (size == 0) return otherwise;
  std::string text(size, '\0');
  status = ort::KernelInfoGetAttribute_string::call(api, info, name, &text[0], &size);
  if (status != nullptr) {
    ort::ReleaseStatus::call(api, status);
    return otherwise;
  }
  return text.c_str();  // The size includes the final zero.
}

int64_t number_attribute(const OrtApi* api, const OrtKernelInfo* info, const char* name) {
  int64_t value = 0;
  OrtStatus* status = ort::KernelInfoGetAttribute_int64::call(api, info, name, &value);
  if (status != nullptr) ort::ReleaseStatus::call(api, status);
  return value;
}

Dtype dtype_of(ONNXTensorElementDataType element) {
  switch (element) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return Dtype::kFloat16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16: return Dtype::kBfloat16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: return Dtype::kFloat64;
    default: return Dtype::kFloat32;
  }
}

OrtStatus* create(const OrtCustomOp* custom, const OrtApi* api, const OrtKernelInfo* info,
                  void** kernel) {
  const Op& op = *static_cast<const Op*>(custom);
  auto made = std::make_unique<Instance>(Instance{api, op.name, op.dimensions, {}});
  Problem& problem = made->problem;
  problem.dtype = dtype_of(op.element);
  std::string error = read_kernel(text_attribute(api, info, "kernel", "bilinear"), problem);
  if (error.empty()) error = read_padding(text_attribute(api, info, "padding", "zeros"), problem);
  problem.align_corners = number_attribute(api, info, "align_corners") != 0;
  problem.source = op.source;
  if (op.source != Points::kGrid) {
    problem.output[1] = number_attribute(api, info, "height");
    problem.output[2] = number_attribute(api, info, "width");
  }
  if (!error.empty()) return failure(api, op.name, error);
  *kernel = made.release();
  return nullptr;
}

OrtStatus* get_input(const OrtApi* api, OrtKernelContext* context, size_t i, Shape& shape,
                     void** data) {
  const OrtValue* value = nullptr;
  OrtStatus* status = ort::KernelContext_GetInput::call(api, context, i, &value);
  if (status != nullptr) return status;
  OrtTensorTypeAndShapeInfo* info = nullptr;
  status = ort::GetTensorTypeAndShape::call(api, value, &info);
  if (status != nullptr) return status;
  size_t rank = 0;
  status = ort::GetDimensionsCount::call(api, info, &rank);
  shape.resize(rank);
  if (status == nullptr) status = ort::GetDimensions::call(api, info, shape.data(), rank);
  ort::ReleaseTensorTypeAndShapeInfo::call(api, info);
  if (status != nullptr) return status;
  return ort::GetTensorMutableData::call(api, const_cast<OrtValue*>(value), data);
}

OrtStatus* compute(const Instance& kernel, OrtKernelContext* context) {
  const OrtApi* api = kernel.api;
  Problem problem = kernel.problem;
  Shape images_shape, points_shape;
  void *images = nullptr, *points = nullptr, *output = nullptr;
  if (OrtStatus* status = get_input(api, context, 0, images_shape, &images)) return status;
  if (OrtStatus* status = get_input(api, context, 1, points_shape, &points)) return status;
  std::string error = problem.theta_size() ? read_theta_shapes(images_shape, points_shape, problem)
                                           : read_grid_shapes(images_shape, points_shape, problem);
  if (error.empty() && problem.dimensions != kernel.dimensions) {
    error = "`images` must have rank " + std::to_string(kernel.dimensions + 2) + ", but it has rank " +
            std::to_string(images_shape.size());
  }
  if (!error.empty()) return failure(api, kernel.name, error);
  const Shape shape = output_shape(points_shape, problem);
  OrtValue* value = nullptr;
  OrtStatus* status = ort::KernelContext_GetOutput::call(api, context, size_t{0}, shape.data(),
                                                         shape.size(), &value);
  if (status != nullptr) return status;
  status = ort::GetTensorMutableData::call(api, value, &output);
  if (status != nullptr) return status;
  SessionThreads threads(api, context);
  error = sample(problem, images, points, output, threads);
  if (OrtStatus* status = threads.take_failure()) return status;
  return error.empty() ? nullptr : failure(api, kernel.name, error);
}

OrtStatus* compute_or_fail(void* state, OrtKernelContext* context) {
  const Instance& kernel = *static_cast<const Instance*>(state);
  try {
    return compute(kernel, context);
  } catch (const std::bad_alloc&) {
    return failure(kernel.api, kernel.name, "no memory is left");
  }
}

Op make_op(const char* name, Points source, int dimensions, ONNXTensorElementDataType element) {
  Op op{};
  op.version = kOrtApiVersion;
  op.name = name;
  op.source = source;
  op.dimensions = dimensions;
  op.element = element;
  op.GetName = [](const OrtCustomOp* op) { return static_cast<const Op*>(op)->name; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* {
    return "CPUExecutionProvider";
  };
  op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 2; };
  op.GetInputType = [](const OrtCustomOp* op, size_t i) {
    const ONNXTensorElementDataType element = static_cast<const Op*>(op)->element;
    if (i == 0 || element == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE) return element;
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op.GetOutputType = [](const OrtCustomOp* op, size_t) {
    return static_cast<const Op*>(op)->element;
  };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  const auto none = [](const OrtCustomOp*) -> int { return 0; };
  op.GetVariadicInputMinArity = none;
  op.GetVariadicInputHomogeneity = none;
  op.GetVariadicOutputMinArity = none;
  op.GetVariadicOutputHomogeneity = none;
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute_or_fail;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Instance*>(kernel); };
  op.GetStartVersion = [](const OrtCustomOp*) -> int { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) -> int { return INT32_MAX; };
  return op;
}

std::vector<Op> make_ops() {
  std::vector<Op> ops;
  for (ONNXTensorElementDataType element :
       {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE}) {
    ops.push_back(make_op("GridSample", Points::kGrid, 2, element));
    ops.push_back(make_op("GridSample3D", Points::kGrid, 3, element));
    ops.push_back(make_op("AffineGridSample", Points::kAffine, 2, element));
    ops.push_back(make_op("ProjectiveGridSample", Points::kProjective, 2, element));
  }
  return ops;
}

}  // namespace
}  // namespace stn_tf

// What `SessionOptions.register_custom_ops_library` calls.
extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(
    OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace stn_tf;
  const OrtApi* api = base->GetApi(kOrtApiVersion);
  if (api == nullptr) {
    // Every version has the first functions of the table.
    const std::string message = std::string("the stn-tf operations need ONNX Runtime 1.17 or newer, but this is ") +
                                base->GetVersionString() + "; upgrade onnxruntime.";
    return ort::CreateStatus::call(base->GetApi(1), ORT_FAIL, message.c_str());
  }
  static const std::vector<Op> ops = make_ops();
  OrtCustomOpDomain* domain = nullptr;
  if (OrtStatus* status = ort::CreateCustomOpDomain::call(api, kDomain, &domain)) return status;
  for (const Op& op : ops) {
    OrtStatus* status =
        ort::CustomOpDomain_Add::call(api, domain, static_cast<const OrtCustomOp*>(&op));
    if (status != nullptr) return status;
  }
  // The options keep the domain; it is small, and sessions may outlive them.
  return ort::AddCustomOpDomain::call(api, options, domain);
}
