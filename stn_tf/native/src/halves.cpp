#include "halves.h"

#include <cstdint>
#include <cstring>

namespace stn_tf {
namespace {

#include "numbers.h"

template <class T>
void widen(const void* from, size_t count, float* to) {
  for (size_t i = 0; i < count; ++i) to[i] = load(static_cast<const T*>(from)[i]);
}

template <class T>
void round_to(const float* from, size_t count, void* to) {
  for (size_t i = 0; i < count; ++i) store(static_cast<T*>(to) + i, from[i]);
}

}  // namespace

void widen_halves(Dtype dtype, const void* from, size_t count, float* to) {
  dtype == Dtype::kFloat16 ? widen<Half>(from, count, to) : widen<Bfloat16>(from, count, to);
}

void round_floats(Dtype dtype, const float* from, size_t count, void* to) {
  dtype == Dtype::kFloat16 ? round_to<Half>(from, count, to) : round_to<Bfloat16>(from, count, to);
}

}  // namespace stn_tf
