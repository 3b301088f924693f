// Runs the sampler over every combination and over what users should never send, for builds with
// sanitizers. Prints what differs from the definition, and fails then.
//
//     memory [PART...]
//
// STN_TF_INSTRUCTION_SET chooses the kernels: baseline, avx2 or avx512.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "comparison.h"
#include "parts.h"

namespace {

struct Part {
  const char* name;
  void (*run)();
};

constexpr Part kParts[] = {{"combinations", combinations}, {"exact", exact},
                           {"extremes", extremes},         {"large", large},
                           {"threads", threads},           {"callers", callers}};

bool run(const std::string& name) {
  bool found = false;
  for (const Part& part : kParts) {
    if (name != "all" && name != part.name) continue;
    part.run();
    found = true;
  }
  if (!found) std::fprintf(stderr, "there is no part %s\n", name.c_str());
  return found;
}

}  // namespace

int main(int count, char** arguments) {
  const char* wanted = std::getenv("STN_TF_INSTRUCTION_SET");
  if (wanted != nullptr && std::strcmp(wanted, stn_tf::instruction_set()) != 0) {
    std::printf("skipped %s: this processor has %s\n", wanted, stn_tf::instruction_set());
    return 0;
  }
  if (count == 1 && !run("all")) return 1;
  for (int i = 1; i < count; ++i) {
    if (!run(arguments[i])) return 1;
  }
  return report();
}
