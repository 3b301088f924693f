#include "thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace stn_tf {
namespace {

// One call: units are claimed by counting up. Kept alive by whoever still looks at it.
struct Call {
  size_t count;
  void (*work)(void*, size_t);
  void* context;
  std::atomic<size_t> next{0};
  std::atomic<size_t> done{0};

  // Works until nothing is left to claim; true for whoever finishes the last unit.
  bool help() {
    bool last = false;
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      work(context, i);
      last = done.fetch_add(1, std::memory_order_acq_rel) + 1 == count;
    }
    return last;
  }
};

int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int> limit{0};

// How long a thread looks for the next call before it sleeps.
constexpr std::chrono::microseconds kPatience(200);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class Pool final : public Parallel {
 public:
  int threads() const override {
    const int chosen = limit.load(std::memory_order_relaxed);
    return chosen > 0 ? chosen : processors_;
  }

  void run(size_t count, void (*work)(void*, size_t), void* context) override {
    const size_t helpers = std::min<size_t>(count, static_cast<size_t>(threads())) - (count > 0);
    if (helpers == 0) {
      for (size_t i = 0; i < count; ++i) work(context, i);
      return;
    }
    auto call = std::make_shared<Call>();
    call->count = count;
    call->work = work;
    call->context = context;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        for (; started_ < helpers; ++started_) std::thread(&Pool::serve, this).detach();
      } catch (const std::system_error&) {
        // No more threads are to be had: this call works with those that there are.
      }
      for (size_t i = 0; i < helpers; ++i) waiting_.push_back(call);
      queued_.store(waiting_.size(), std::memory_order_release);
    }
    if (asleep_ > 0) helpers == 1 ? wake_.notify_one() : wake_.notify_all();
    call->help();
    // What others have claimed is nearly done: short of that, sleep.
    for (int spin = 0; spin < 2000; ++spin) {
      if (call->done.load(std::memory_order_acquire) == count) return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return call->done.load(std::memory_order_acquire) == count; });
  }

 private:
  // The next call often comes soon, and waking up takes longer than many a call.
  void look_for_work() const {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 64; ++i) {
        if (queued_.load(std::memory_order_acquire) > 0) return;
        pause();
      }
    }
  }

  void serve() {
    for (;;) {
      look_for_work();
      std::shared_ptr<Call> call;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        wake_.wait(lock, [this] { return !waiting_.empty(); });
        --asleep_;
        call = std::move(waiting_.front());
        waiting_.pop_front();
        queued_.store(waiting_.size(), std::memory_order_release);
      }
      if (call->help()) {
        std::lock_guard<std::mutex> lock(mutex_);
        finished_.notify_all();
      }
    }
  }

  const int processors_ = processors();
  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::deque<std::shared_ptr<Call>> waiting_;
  std::atomic<size_t> queued_{0};
  std::atomic<int> asleep_{0};  // Threads that may need to be woken.
  size_t started_ = 0;
};

// Never destroyed: its threads wait on it until the process ends.
Pool* pool = new Pool;

// A forked child has none of its parent's threads, and perhaps its locked mutex.
const int registered = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });

}  // namespace

Parallel& thread_pool() { return *pool; }

void set_threads(int threads) { limit.store(std::max(0, threads), std::memory_order_relaxed); }

}  // namespace stn_tf
