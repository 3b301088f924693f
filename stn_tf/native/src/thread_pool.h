// Threads that wait for work, for runtimes that lend none of theirs.

#ifndef STN_TF_THREAD_POOL_H_
#define STN_TF_THREAD_POOL_H_

#include "sampler.h"

namespace stn_tf {

// The threads shared by all calls in this process. Several callers may use it at once; each works
// too, so that a call ends even when every other thread is busy, or was lost in a fork.
Parallel& thread_pool();

// How many threads a call may use, its own included; 0 for as many as there are processors.
void set_threads(int threads);

}  // namespace stn_tf

#endif  // STN_TF_THREAD_POOL_H_
