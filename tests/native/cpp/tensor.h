// Numbers in memory of exactly their size, so that a sanitizer sees the first byte beyond.

#ifndef STN_TF_TESTS_TENSOR_H_
#define STN_TF_TESTS_TENSOR_H_

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "halves.h"
#include "sampler.h"

inline size_t size_of(stn_tf::Dtype dtype) {
  return dtype == stn_tf::Dtype::kFloat64 ? 8 : dtype == stn_tf::Dtype::kFloat32 ? 4 : 2;
}

struct Tensor {
  Tensor(stn_tf::Dtype dtype, size_t count)
      : dtype(dtype), count(count), data(std::malloc(count * size_of(dtype)), std::free) {
    // What is never written shows.
    if (count) std::memset(data.get(), 0xab, count * size_of(dtype));
  }

  Tensor(stn_tf::Dtype dtype, const std::vector<double>& values) : Tensor(dtype, values.size()) {
    std::vector<float> narrow(values.begin(), values.end());
    if (dtype == stn_tf::Dtype::kFloat64) {
      if (count) std::memcpy(data.get(), values.data(), count * 8);
    } else if (dtype == stn_tf::Dtype::kFloat32) {
      if (count) std::memcpy(data.get(), narrow.data(), count * 4);
    } else {
      stn_tf::round_floats(dtype, narrow.data(), count, data.get());
    }
  }

  std::vector<double> values() const {
    std::vector<float> wide(count);
    if (dtype == stn_tf::Dtype::kFloat64) {
      const double* from = static_cast<const double*>(data.get());
      return std::vector<double>(from, from + count);
    }
    if (dtype == stn_tf::Dtype::kFloat32) {
      if (count) std::memcpy(wide.data(), data.get(), count * 4);
    } else {
      stn_tf::widen_halves(dtype, data.get(), count, wide.data());
    }
    return std::vector<double>(wide.begin(), wide.end());
  }

  void* get() const { return data.get(); }

  // Bit for bit, so that NaN equals itself.
  bool operator==(const Tensor& other) const {
    return dtype == other.dtype && count == other.count &&
           (count == 0 || std::memcmp(get(), other.get(), count * size_of(dtype)) == 0);
  }

  stn_tf::Dtype dtype;
  size_t count;
  std::unique_ptr<void, void (*)(void*)> data;
};

#endif  // STN_TF_TESTS_TENSOR_H_
