// Numbers below 1e-38 are zero to the kernels.
//
// A multiplication with one takes an x86 processor some hundred steps instead of one. They are no rarity: the
// gradients of a net that has solved its task are that small, and so is what is left in the state of a stream that has
// fallen silent.

#pragma once

// While it lives, denormal inputs and results of its thread count as zero.
class FlushDenormals {
public:
#if defined(__x86_64__)
    FlushDenormals() : before_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before_ | FLUSH_TO_ZERO | ARE_ZERO); }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(before_); }

private:
    static constexpr unsigned FLUSH_TO_ZERO = 1u << 15, ARE_ZERO = 1u << 6;
    unsigned before_;
#elif defined(__aarch64__)
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | FLUSH_TO_ZERO));
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

private:
    static constexpr unsigned long FLUSH_TO_ZERO = 1ul << 24;
    unsigned long before_;
#endif

public:
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;
};
