// The filters of a convolution and their gradients, for convolution.cpp.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "convolution.h"

// The filters that convolve: as they are, or each scaled to a size of its own (weight norm, Salimans and Kingma 2016).
class Filters {
   public:
    Filters(const Shape& s, const float* weight, const float* size)
        : count_(s.out_channels), length_(s.in_channels * s.kernel_size), given_(weight), size_(size) {
        if (!size) return;
        norm_.resize(count_);
        scaled_.resize(count_ * length_);
        for (int64_t o = 0; o < count_; ++o) {
            norm_[o] = std::sqrt(product(weight + o * length_, weight + o * length_));
            const float factor = static_cast<float>(size[o] / norm_[o]);
            for (int64_t i = 0; i < length_; ++i) scaled_[o * length_ + i] = weight[o * length_ + i] * factor;
        }
    }

    const float* data() const { return size_ ? scaled_.data() : given_; }

    // From the gradient of what convolves those of what was given; null is not asked for.
    void gradients(const float* gradient, float* of_given, float* of_size) const {
        for (int64_t o = 0; o < count_; ++o, gradient += length_) {
            if (!size_) {
                if (of_given) std::copy(gradient, gradient + length_, of_given + o * length_);
                continue;
            }
            const float* given = given_ + o * length_;
            const double along = product(gradient, given) / norm_[o];  // of the direction
            if (of_size) of_size[o] = static_cast<float>(along);
            const float factor = static_cast<float>(size_[o] / norm_[o]), back = static_cast<float>(along / norm_[o]);
            for (int64_t i = 0; of_given && i < length_; ++i)
                of_given[o * length_ + i] = factor * (gradient[i] - given[i] * back);
        }
    }

   private:
    double product(const float* a, const float* b) const {
        double sums[4] = {};  // side by side, since each waits for the one before
        for (int64_t i = 0; i < length_; ++i) sums[i % 4] += static_cast<double>(a[i]) * b[i];
        return sums[0] + sums[1] + (sums[2] + sums[3]);
    }

    int64_t count_, length_;
    const float *given_, *size_;
    std::vector<double> norm_;
    std::vector<float> scaled_;
};
