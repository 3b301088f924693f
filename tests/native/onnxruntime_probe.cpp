// An operation that calls every function of ONNX Runtime's table that ours call, and says what
// each did. Numbers(first [..], second [..]) has the attributes `number`, `text` and `repeat`.

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "onnxruntime_c.h"

namespace stn_tf {
namespace {

const OrtApi* api = nullptr;

struct Attributes {
  int64_t number = 0;
  int64_t repeat = 0;
  std::string text;
};

OrtStatus* create(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo* info, void** kernel) {
  auto* made = new Attributes;
  *kernel = made;
  for (auto [name, value] : {std::pair("number", &made->number), {"repeat", &made->repeat}}) {
    OrtStatus* status = ort::KernelInfoGetAttribute_int64::call(api, info, name, value);
    if (status != nullptr) return status;
  }
  size_t size = 0;
  OrtStatus* status =
      ort::KernelInfoGetAttribute_string::call(api, info, "text", (char*)nullptr, &size);
  if (status != nullptr) ort::ReleaseStatus::call(api, status);
  made->text.resize(size);
  status = ort::KernelInfoGetAttribute_string::call(api, info, "text", &made->text[0], &size);
  if (status == nullptr) made->text.pop_back();
  return status;
}

struct Visits {
  std::atomic<int64_t> count{0}, sum{0};
};

OrtStatus* compute(void* state, OrtKernelContext* context) {
  const auto& attributes = *static_cast<const Attributes*>(state);
  if (attributes.text == "fail") {
    return ort::CreateStatus::call(api, ORT_INVALID_ARGUMENT, "the probe was told to fail");
  }
  // Leaks would be hundreds of megabytes.
  const std::string message(10000, 'm');
  for (int64_t i = 0; i < attributes.repeat; ++i) {
    ort::ReleaseStatus::call(api, ort::CreateStatus::call(api, ORT_FAIL, message.c_str()));
  }
  std::vector<float> found;
  for (size_t input : {size_t{0}, size_t{1}}) {
    const OrtValue* value = nullptr;
    if (OrtStatus* s = ort::KernelContext_GetInput::call(api, context, input, &value)) return s;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    for (int64_t i = 0; i < attributes.repeat * 10; ++i) {
      if (OrtStatus* s = ort::GetTensorTypeAndShape::call(api, value, &info)) return s;
      ort::ReleaseTensorTypeAndShapeInfo::call(api, info);
    }
    if (OrtStatus* s = ort::GetTensorTypeAndShape::call(api, value, &info)) return s;
    size_t rank = 0;
    if (OrtStatus* s = ort::GetDimensionsCount::call(api, info, &rank)) return s;
    std::vector<int64_t> shape(rank);
    if (OrtStatus* s = ort::GetDimensions::call(api, info, shape.data(), rank)) return s;
    ort::ReleaseTensorTypeAndShapeInfo::call(api, info);
    void* data = nullptr;
    auto* mutable_value = const_cast<OrtValue*>(value);
    if (OrtStatus* s = ort::GetTensorMutableData::call(api, mutable_value, &data)) return s;
    found.push_back(static_cast<float>(rank));
    found.insert(found.end(), shape.begin(), shape.end());
    found.push_back(static_cast<const float*>(data)[0]);
  }
  found.push_back(static_cast<float>(attributes.number));
  for (char letter : attributes.text) found.push_back(letter);
  Visits visits;
  const auto visit = [](void* context, size_t index) {
    static_cast<Visits*>(context)->count += 1;
    static_cast<Visits*>(context)->sum += static_cast<int64_t>(index);
  };
  OrtStatus* status = ort::KernelContext_ParallelFor::call(
      api, context, static_cast<void (*)(void*, size_t)>(visit), size_t{100}, size_t{0}, &visits);
  if (status != nullptr) return status;
  found.push_back(static_cast<float>(visits.count));
  found.push_back(static_cast<float>(visits.sum));
  const int64_t shape[] = {1, static_cast<int64_t>(found.size())};
  OrtValue* value = nullptr;
  status = ort::KernelContext_GetOutput::call(api, context, size_t{0}, shape, size_t{2}, &value);
  if (status != nullptr) return status;
  void* output = nullptr;
  if (OrtStatus* s = ort::GetTensorMutableData::call(api, value, &output)) return s;
  std::memcpy(output, found.data(), found.size() * sizeof(float));
  return nullptr;
}

OrtCustomOp make_op() {
  OrtCustomOp op{};
  op.version = kOrtApiVersion;
  op.GetName = [](const OrtCustomOp*) { return "Numbers"; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) { return "CPUExecutionProvider"; };
  op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 2; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  const auto single = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
  op.GetInputType = single;
  op.GetOutputType = single;
  const auto required = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op.GetInputCharacteristic = required;
  op.GetOutputCharacteristic = required;
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  const auto none = [](const OrtCustomOp*) -> int { return 0; };
  op.GetVariadicInputMinArity = none;
  op.GetVariadicInputHomogeneity = none;
  op.GetVariadicOutputMinArity = none;
  op.GetVariadicOutputHomogeneity = none;
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Attributes*>(kernel); };
  op.GetStartVersion = [](const OrtCustomOp*) -> int { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) -> int { return INT32_MAX; };
  return op;
}

}  // namespace
}  // namespace stn_tf

extern "C" OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace stn_tf;
  api = base->GetApi(kOrtApiVersion);
  static const OrtCustomOp op = make_op();
  OrtCustomOpDomain* domain = nullptr;
  if (OrtStatus* s = ort::CreateCustomOpDomain::call(api, "probe", &domain)) return s;
  if (OrtStatus* s = ort::CustomOpDomain_Add::call(api, domain, &op)) return s;
  return ort::AddCustomOpDomain::call(api, options, domain);
}
