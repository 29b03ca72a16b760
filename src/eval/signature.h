// The signature of this build: one hash per precision over logits, gradients and ten training steps of a
// built-in tiny model (docs/numerics.md, section 7). The same on every x86-64 machine, level, compiler and
// thread count.
#pragma once

#include <string>

#include "kernels/ctx.h"

namespace frugal::eval {

std::string signature(kernels::Ctx& ctx);  // a line per precision

}  // namespace frugal::eval
