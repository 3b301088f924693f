#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "comparison.h"
#include "parts.h"
#include "random.h"
#include "thread_pool.h"

namespace {

// One problem, and what there is to compute of it.
class Work {
 public:
  Work() : problem_(make(Dtype::kFloat32, Kernel::kBilinear, Padding::kZeros, Points::kGrid, false, 2, 8)) {
    set_sizes(problem_, {1, 64, 64}, {1, 64, 64});
  }

  std::vector<Tensor> operator()() const {
    stn_tf::Parallel& pool = stn_tf::thread_pool();
    std::vector<Tensor> found;
    found.emplace_back(Dtype::kFloat32, images_.count);
    found.emplace_back(Dtype::kFloat32, images_.count);
    found.emplace_back(Dtype::kFloat32, points_.count);
    stn_tf::sample(problem_, images_.get(), points_.get(), found[0].get(), pool);
    stn_tf::sample_gradient(problem_, images_.get(), points_.get(), images_.get(), found[1].get(),
                            found[2].get(), pool);
    return found;
  }

 private:
  Problem problem_;
  Tensor images_{Dtype::kFloat32, uniforms(2 * 64 * 64 * 8)};
  Tensor points_{Dtype::kFloat32, uniforms(2 * 64 * 64 * 2)};
};

// Runs `one` in a forked process; whether it said yes.
template <class One>
bool in_child(const One& one) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // A child that waits for a thread of its parent's waits for ever.
    _exit(one() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

void callers() {
  const Work work;
  stn_tf::set_threads(4);
  const std::vector<Tensor> expected = work();
  std::vector<std::thread> callers;
  std::vector<int> wrong(6);
  for (size_t i = 0; i < wrong.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 10; ++round) {
        if (i == 0) stn_tf::set_threads(1 + round % 5);
        wrong[i] += !(work() == expected);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (int count : wrong) expect(count == 0, "callers at once");
  stn_tf::set_threads(4);
#if defined(__SANITIZE_THREAD__)
  std::printf("skipped forks: this sanitizer allows no threads in a child\n");
#else
  expect(in_child([&] { return work() == expected; }), "sampling in a forked child");
#endif
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  // The sanitizers' own allocators may not be forked while other threads allocate.
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) work();
  });
  for (int round = 0; round < 20; ++round) {
    expect(in_child([&] { return work() == expected; }), "forking while another caller samples");
  }
  stop = true;
  busy.join();
#endif
  stn_tf::set_threads(0);
}
