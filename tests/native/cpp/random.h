// Random numbers, the same in every run.

#ifndef STN_TF_TESTS_RANDOM_H_
#define STN_TF_TESTS_RANDOM_H_

#include <cstdint>
#include <random>
#include <vector>

inline std::mt19937_64& generator() {
  static std::mt19937_64 shared(20150605);
  return shared;
}

inline double uniform(double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(generator());
}

inline std::vector<double> uniforms(int64_t count, double low = -1, double high = 1) {
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = uniform(low, high);
  return values;
}

#endif  // STN_TF_TESTS_RANDOM_H_
