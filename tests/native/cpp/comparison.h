// Counts what was expected, and compares the sampler with its definition.

#ifndef STN_TF_TESTS_COMPARISON_H_
#define STN_TF_TESTS_COMPARISON_H_

#include <string>
#include <vector>

#include "problems.h"
#include "tensor.h"

// What is compared at some points. Everything is computed all the same, for the sanitizers.
enum class Compared { kNothing, kValues, kGradients, kSlopes };

// Notes a failure, and prints the first ones.
void expect(bool good, const std::string& what);

// Prints the counts, and returns the status for `main`.
int report();

// Samples random images at these points and differentiates, for either gradient and for both.
// kGradients compares the values and the gradients with the definition; kSlopes holds the
// definition's own gradient against differences too, which needs calm points.
void check(const Problem& problem, const std::vector<double>& points, Compared compared);

#endif  // STN_TF_TESTS_COMPARISON_H_
