// libFuzzer: parse_config on any bytes. What it accepts passes the checks of hand-made configs, has sizes
// that can be computed with, and survives being written and read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "model/config.h"
#include "model/flops.h"
#include "model/stored.h"

namespace {
void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace frugal::model;
  try {
    const ModelConfig config = parse_config({reinterpret_cast<const char*>(data), size}, "fuzz");
    check_config(config, "accepted");
    check(latent_bytes_per_token(config, 4) > 0, "a cache without bytes");
    check(forward_flops_per_token(config, config.max_position_embeddings, true) > 0, "a model without work");
    const std::string text = config_to_json(config);
    ModelConfig again;
    try {
      again = parse_config(text, "written");
    } catch (const frugal::Error& e) {
      check(false, e.what());
    }
    check(config_to_json(again) == text, "the config changes when it is written and read");
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
  return 0;
}
