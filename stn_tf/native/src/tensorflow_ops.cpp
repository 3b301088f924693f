// The TensorFlow operations StnTf>GridSample, StnTf>Warp and Addons>Resampler, with gradients.

#include <cstdlib>
#include <vector>

#include "tensorflow_kernel.h"
#include "thread_pool.h"

namespace stn_tf {
namespace {

struct ShapeDeleter {
  void operator()(TF_ShapeHandle* handle) const { TF_DeleteShapeHandle(handle); }
};
using Handle = std::unique_ptr<TF_ShapeHandle, ShapeDeleter>;

// All dimensions of the points but the last, then the channels.
void infer_from_points(TF_ShapeInferenceContext* context, TF_Status* status) {
  Handle images(TF_NewShapeHandle()), points(TF_NewShapeHandle());
  Handle channels(TF_NewShapeHandle()), leading(TF_NewShapeHandle()), output(TF_NewShapeHandle());
  TF_ShapeInferenceContextGetInput(context, 0, images.get(), status);
  TF_ShapeInferenceContextGetInput(context, 1, points.get(), status);
  constexpr int64_t kEnd = INT64_MAX;
  TF_ShapeInferenceContextSubshape(context, images.get(), -1, kEnd, channels.get(), status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_ShapeInferenceContextSubshape(context, points.get(), 0, -1, leading.get(), status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_ShapeInferenceContextConcatenateShapes(context, leading.get(), channels.get(), output.get(),
                                            status);
  if (TF_GetCode(status) != TF_OK) return;
  TF_ShapeInferenceContextSetOutput(context, 0, output.get(), status);
}

// The sizes stand in attributes, which shape functions of the C API cannot read.
void infer_nothing(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

// Both gradients of Addons>Resampler are always made.
void infer_as_inputs(TF_ShapeInferenceContext* context, TF_Status* status) {
  for (int i = 0; i < 2; ++i) {
    Handle shape(TF_NewShapeHandle());
    TF_ShapeInferenceContextGetInput(context, i, shape.get(), status);
    TF_ShapeInferenceContextSetOutput(context, i, shape.get(), status);
  }
}

using InferShape = void (*)(TF_ShapeInferenceContext*, TF_Status*);

void register_op(const char* name, const std::vector<const char*>& inputs,
                 const std::vector<const char*>& outputs, const std::vector<const char*>& attributes,
                 InferShape infer, TF_Status* status) {
  TF_OpDefinitionBuilder* builder = TF_NewOpDefinitionBuilder(name);
  TF_OpDefinitionBuilderAddAttr(builder, "T: {bfloat16, half, float, double}");
  for (const char* attribute : attributes) TF_OpDefinitionBuilderAddAttr(builder, attribute);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : outputs) TF_OpDefinitionBuilderAddOutput(builder, output);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, infer);
  TF_RegisterOpDefinition(builder, status);
}

template <Points kSource, bool kGradient>
void* create(TF_OpKernelConstruction* context) {
  return create_kernel(context, kSource, kGradient);
}

template <Points kSource, bool kGradient>
void register_kernels(const char* op) {
  for (TF_DataType dtype : {TF_HALF, TF_BFLOAT16, TF_FLOAT, TF_DOUBLE}) {
    Status status(TF_NewStatus());
    TF_KernelBuilder* builder =
        TF_NewKernelBuilder(op, "CPU", create<kSource, kGradient>, compute_kernel, destroy_kernel);
    TF_KernelBuilder_TypeConstraint(builder, "T", dtype, status.get());
    if (kSource != Points::kPixels) {
      const TF_DataType points = dtype == TF_DOUBLE ? TF_DOUBLE : TF_FLOAT;
      TF_KernelBuilder_TypeConstraint(builder, "P", points, status.get());
    }
    TF_RegisterKernelBuilder(op, builder, status.get());
  }
}

bool register_all() {
  Status status(TF_NewStatus());
  const std::vector<const char*> sampling = {"P: {float, double}", "kernel: string",
                                             "padding: string", "align_corners: bool"};
  std::vector<const char*> warping = sampling;
  warping.insert(warping.end(), {"transform: string", "height: int", "width: int"});
  const auto backward = [](std::vector<const char*> attributes) {
    attributes.insert(attributes.end(), {"want_images: bool", "want_points: bool"});
    return attributes;
  };
  register_op("StnTf>GridSample", {"images: T", "grid: P"}, {"output: T"}, sampling,
              infer_from_points, status.get());
  register_op("StnTf>GridSampleGrad", {"images: T", "grid: P", "upstream: T"},
              {"images_gradient: T", "grid_gradient: P"}, backward(sampling), infer_nothing,
              status.get());
  register_op("StnTf>Warp", {"images: T", "theta: P"}, {"output: T"}, warping, infer_nothing,
              status.get());
  register_op("StnTf>WarpGrad", {"images: T", "theta: P", "upstream: T"},
              {"images_gradient: T", "theta_gradient: P"}, backward(warping), infer_nothing,
              status.get());
  register_kernels<Points::kGrid, false>("StnTf>GridSample");
  register_kernels<Points::kGrid, true>("StnTf>GridSampleGrad");
  register_kernels<Points::kAffine, false>("StnTf>Warp");
  register_kernels<Points::kAffine, true>("StnTf>WarpGrad");
  // An operation cannot be registered twice: where TensorFlow Addons is installed, it is theirs.
  if (std::getenv("STN_TF_WITHOUT_ADDONS") != nullptr) return true;
  register_op("Addons>Resampler", {"data: T", "warp: T"}, {"output: T"}, {}, infer_from_points,
              status.get());
  register_op("Addons>ResamplerGrad", {"data: T", "warp: T", "grad_output: T"},
              {"grad_data: T", "grad_warp: T"}, {}, infer_as_inputs, status.get());
  register_kernels<Points::kPixels, false>("Addons>Resampler");
  register_kernels<Points::kPixels, true>("Addons>ResamplerGrad");
  return TF_GetCode(status.get()) == TF_OK;
}

const bool registered = register_all();

}  // namespace
}  // namespace stn_tf

#define STN_TF_EXPORT extern "C" __attribute__((visibility("default")))

STN_TF_EXPORT void stn_tf_set_threads(int threads) { stn_tf::set_threads(threads); }
STN_TF_EXPORT const char* stn_tf_instruction_set() { return stn_tf::instruction_set(); }
