// Numbers below 1e-38 are zero to the kernels.
//
// A multiplication with one takes an x86 processor some hundred steps instead of one. They are no rarity: the
// gradients of a net that has solved its task are that small, and so is what is left in the state of a stream that has
// fallen silent.

#pragma once

namespace denormals {

// The register that holds a thread's ways of computing, and the bits of it that make denormals zero.
#if defined(__x86_64__)
using Control = unsigned;
constexpr Control FLUSH = 1u << 15 | 1u << 6;  // results, and inputs
inline Control control() { return __builtin_ia32_stmxcsr(); }
inline void set_control(Control value) { __builtin_ia32_ldmxcsr(value); }
#elif defined(__aarch64__)
using Control = unsigned long;
constexpr Control FLUSH = 1ul << 24;
inline Control control() {
    Control value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
}
inline void set_control(Control value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
using Control = unsigned;
constexpr Control FLUSH = 0;
inline Control control() { return 0; }
inline void set_control(Control) {}
#endif

}  // namespace denormals

// While it lives, denormal inputs and results of its thread count as zero.
class FlushDenormals {
public:
    FlushDenormals() : before_(denormals::control()) { denormals::set_control(before_ | denormals::FLUSH); }
    ~FlushDenormals() { denormals::set_control(before_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    denormals::Control before_;
};
