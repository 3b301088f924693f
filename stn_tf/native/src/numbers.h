// Storage types and the arithmetic types in which they are computed.
//
// Included once for each instruction set, inside its namespace. Half precision is converted by bit
// operations, which compilers turn into vector code, and which do not depend on whether the
// processor flushes subnormal numbers.

struct Half {
  uint16_t bits;
};
struct Bfloat16 {
  uint16_t bits;
};

template <class T>
struct Arithmetic {
  using type = float;
};
template <>
struct Arithmetic<double> {
  using type = double;
};

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(Bfloat16 value) { return float_of(uint32_t{value.bits} << 16); }
inline float load(Half value) {
  const uint32_t size = value.bits & 0x7fffu, sign = (value.bits & 0x8000u) << 16;
  uint32_t bits = (size << 13) + (112u << 23);
  bits = size >= 0x7c00u ? bits + (112u << 23) : bits;
  const float subnormal = static_cast<float>(static_cast<int32_t>(size)) * 0x1p-24f;
  bits = size < 0x0400u ? bits_of(subnormal) : bits;
  return float_of(bits | sign);
}

inline void store(float* to, float value) { *to = value; }
inline void store(double* to, double value) { *to = value; }
inline void store(Bfloat16* to, float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}
inline void store(Half* to, float value) {
  const uint32_t bits = bits_of(value), size = bits & 0x7fffffffu;
  // Adding a half puts the last bit of a subnormal half at the last bit of the sum.
  const uint32_t subnormal = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
  const uint32_t normal = (size + 0xfffu + ((size >> 13) & 1u) - (112u << 23)) >> 13;
  uint32_t half = size < (113u << 23) ? subnormal : normal;
  half = size >= bits_of(65520.0f) ? 0x7c00u : half;
  half = size > 0x7f800000u ? 0x7e00u : half;
  to->bits = static_cast<uint16_t>(half | ((bits >> 16) & 0x8000u));
}

// Whole numbers near a value, for |value| <= 2^30; these forms compile to vector code everywhere.
template <class A>
inline A floor_of(A value) {
  const A whole = static_cast<A>(static_cast<int32_t>(value));
  return whole > value ? whole - 1 : whole;
}

inline float magnitude(float value) { return __builtin_fabsf(value); }
inline double magnitude(double value) { return __builtin_fabs(value); }

// Half to even, for |value| < 2^22.
inline float round_near(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }
inline double round_near(double value) { return (value + 0x1.8p52) - 0x1.8p52; }

// Half to even; beyond 2^23 every float is whole already.
inline float round_of(float value) {
  return magnitude(value) < 0x1p22f ? round_near(value) : value;
}
inline double round_of(double value) {
  return magnitude(value) < 0x1p51 ? round_near(value) : value;
}

// `value` modulo `period`, in [0, period], exact for the float values that come here.
inline double modulo(double value, double period) {
  double quotient = value / period;
  const double whole = static_cast<double>(static_cast<int64_t>(quotient));
  quotient = whole > quotient ? whole - 1 : whole;
  double rest = value - quotient * period;
  rest = rest < 0 ? rest + period : rest;
  return rest >= period ? rest - period : rest;
}
