#define STN_TF_ISA avx512
#include "kernels.h"

namespace stn_tf {
const Kernels kAvx512 = {"avx512", avx512::choose_dtype<false>, avx512::choose_dtype<true>};
}
