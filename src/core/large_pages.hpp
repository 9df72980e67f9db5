// Memory for what is read here and there: in large pages, if it is large and the system has them.
#pragma once

#include <new>

#include "base.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ad {

/// An allocator of a std::vector.
template <typename T>
struct LargePages {
    using value_type = T;
    static constexpr std::size_t kPage = std::size_t{2} << 20;

    LargePages() = default;
    template <typename Other>
    explicit LargePages(const LargePages<Other>&) {}

    static std::align_val_t alignment(std::size_t bytes) {
        return std::align_val_t{bytes >= kPage ? kPage : 64};
    }
    T* allocate(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);
        void* at = ::operator new(bytes, alignment(bytes));
#if defined(__linux__)
        if (bytes >= kPage) madvise(at, bytes / kPage * kPage, MADV_HUGEPAGE);  // a hint
#endif
        return static_cast<T*>(at);
    }
    void deallocate(T* at, std::size_t count) noexcept {
        ::operator delete(at, alignment(count * sizeof(T)));
    }
    bool operator==(const LargePages&) const = default;
};

}  // namespace ad
