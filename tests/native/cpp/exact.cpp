// All numbers here are sums of few powers of two, so that float32 computes with them as double
// does, and what happens at a border is no matter of rounding.

#include "comparison.h"
#include "parts.h"

namespace {

// Borders of the image and of its outermost pixels, either side of them, and far outside.
std::vector<double> places(bool pixels, int64_t size) {
  const double last = static_cast<double>(size - 1), step = 1.0 / 256;
  if (pixels) {
    return {-1,          -0.5,        0,    0.5,        1,    last - 0.5, last, last + 0.5,
            last + 1,    -0.5 - step, step, -step,      0.25, last + step, last - step,
            last + 1.25, -7.75,       -2,   last + 40.5, 1.5};
  }
  return {-1, 1,   -1 - step, -1 + step, 1 - step, 1 + step, 0,     0.25, 0.5, -0.5,
          -3, 0.75, -0.75,     1.25,      -1.25,    1.5,      7.125, -2,   3,   -0.125};
}

std::vector<double> every_pair(const Problem& p) {
  std::vector<double> points;
  for (int64_t i = 0; i < p.batch * p.output_pixels(); ++i) {
    for (int axis = 0; axis < p.dimensions; ++axis) {
      const std::vector<double> known = places(p.source == Points::kPixels, p.input[2 - axis]);
      const size_t n = known.size(), at = static_cast<size_t>(i);
      points.push_back(known[(axis == 0 ? at : axis == 1 ? at / n : at * 7 + at / n) % n]);
    }
  }
  return points;
}

// Upright windows: as it is, mirrored, out of the image, enlarged, reduced. Then a quarter turn,
// the diagonal mirror, and shears.
std::vector<double> thetas(const Problem& p) {
  const std::vector<std::vector<double>> known = {
      {1, 0, 0, 0, 1, 0},         {-1, 0, 0, 0, -1, 0},       {1, 0, 1.25, 0, 1, -0.75},
      {0.5, 0, 0.25, 0, 0.5, 0},  {2, 0, -0.5, 0, 4, 0.25},   {0, 0, 1, 0, 0, -1},
      {0, 1, 0, -1, 0, 0},        {0, 1, 0, 1, 0, 0.5},       {1, 0.5, 0, 0, 1, 0},
      {1, 0, 0, 0.25, 1, 0.5}};
  std::vector<double> all;
  for (const std::vector<double>& theta : known) {
    all.insert(all.end(), theta.begin(), theta.end());
    if (p.source == Points::kProjective) all.insert(all.end(), {0, 0});
  }
  return all;
}

// Sizes for which normalised coordinates become pixels without rounding.
void set_exact_input(Problem& p, int shape) {
  const std::vector<std::vector<int64_t>> aligned = {{3, 5, 9}, {1, 1, 9}, {2, 5, 1}, {1, 1, 1}};
  const std::vector<std::vector<int64_t>> others = {{2, 4, 8}, {1, 1, 8}, {2, 4, 1}, {1, 1, 1}};
  std::vector<int64_t> sizes = (p.align_corners ? aligned : others)[static_cast<size_t>(shape)];
  if (p.dimensions == 2) sizes[0] = 1;
  set_sizes(p, sizes, {1, 20, 20});
}

}  // namespace

void exact() {
  every_combination([](Problem p) {
    for (int shape = 0; shape < 4; ++shape) {
      set_exact_input(p, shape);
      for (int64_t channels : {1, 2, 4, 5}) {
        if (shape > 0 && channels % 2 == 0) continue;
        p.channels = channels;
        p.batch = 1;
        if (p.theta_size() == 0) {
          check(p, every_pair(p), Compared::kGradients);
          continue;
        }
        p.batch = 10;
        set_sizes(p, {p.input, p.input + 3}, {1, p.align_corners ? 9 : 8, p.align_corners ? 17 : 16});
        check(p, thetas(p), Compared::kGradients);
        set_sizes(p, {p.input, p.input + 3}, {1, 1, 1});
        check(p, thetas(p), Compared::kGradients);
      }
    }
  });
}
