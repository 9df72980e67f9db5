// The three ways in which core code fails on purpose. The server layer maps each class to one
// SQLSTATE; anything else that is thrown is a bug or an allocation failure.
#pragma once

#include <stdexcept>

#include "base.hpp"

namespace ad {

class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message, std::string hint = {})
        : std::runtime_error(message), hint_(std::move(hint)) {}
    const std::string& hint() const { return hint_; }

  private:
    std::string hint_;
};

/// An option that the caller chose is unknown, out of range or contradictory (22023).
class InvalidParameter : public Error {
    using Error::Error;
};

/// The rows cannot be used: none left, a category where a number belongs (22000).
class InvalidData : public Error {
    using Error::Error;
};

/// Bytes that claim to be a model or a fit state and are not (XX001).
class CorruptModel : public Error {
    using Error::Error;
};

/// The work would need more memory than it may have (53200).
class MemoryLimit : public Error {
    using Error::Error;
};

}  // namespace ad
