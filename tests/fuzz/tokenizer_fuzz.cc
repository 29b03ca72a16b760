// libFuzzer: Tokenizer::parse on any bytes, and encoding with what it accepts.
// Input: tokenizer.json, then optionally a zero byte and tokenizer_config.json.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using frugal::text::Tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view config = zero == std::string_view::npos ? "" : input.substr(zero + 1);
  try {
    const Tokenizer tokenizer = Tokenizer::parse(input.substr(0, zero), "fuzz", config);
    // Ordinary text, ill-formed bytes, and whatever the input is made of (its added tokens among it).
    const std::string text = "It's 12345 \t\n café 你好 \xFF\xE4\xBD" + std::string(input.substr(0, 512));
    for (const bool special : {true, false}) {
      std::string bytes, streamed;
      frugal::text::StreamDecoder stream(tokenizer);
      const std::vector<int32_t> ids = tokenizer.encode(text, special);
      for (const int32_t id : ids) {
        bytes += tokenizer.token_text(id);
        streamed += stream.push(id);
      }
      streamed += stream.finish();
      if (bytes != text || streamed != tokenizer.decode(ids)) {
        std::fprintf(stderr, "encoding lost bytes, or the stream decoder differs\n");
        std::abort();
      }
    }
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
  return 0;
}
