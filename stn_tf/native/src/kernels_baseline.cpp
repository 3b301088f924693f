#define STN_TF_ISA baseline
#include "kernels.h"

namespace stn_tf {
const Kernels kBaseline = {"baseline", baseline::choose_dtype<false>, baseline::choose_dtype<true>};
}
