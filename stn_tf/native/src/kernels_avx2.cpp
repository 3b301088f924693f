#define STN_TF_ISA avx2
#include "kernels.h"

namespace stn_tf {
const Kernels kAvx2 = {"avx2", avx2::choose_dtype<false>, avx2::choose_dtype<true>};
}
