#include "base.hpp"

namespace ad {

void (*poll_hook)() = nullptr;

}  // namespace ad
