// libFuzzer: Tokenizer::parse on any bytes, and encoding of text and chats with what it accepts.
// Input: tokenizer.json or, if it does not start with {, tiktoken.model; then optionally a zero byte and
// tokenizer_config.json.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace {
// A chat under whatever template the input names: the ids' bytes are the rendered text.
void chat(const frugal::text::Tokenizer& tokenizer) {
  using namespace frugal::text;
  const std::vector<Message> messages = {
      {"system", "s"}, {"user", "u\n"}, {"assistant", "</think> a"}, {"user", "v"}};
  const ChatTemplate chat = chat_template(tokenizer);
  const RenderOptions options{.generation_prompt = true};
  std::string bytes;
  for (const int32_t id : encode_chat(tokenizer, chat, messages, options)) bytes += tokenizer.token_text(id);
  if (bytes != render_chat(tokenizer, chat, messages, options)) {
    std::fprintf(stderr, "the ids of a chat are not its text\n");
    std::abort();
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using frugal::text::Tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view config = zero == std::string_view::npos ? "" : input.substr(zero + 1);
  try {
    const std::string_view file = input.substr(0, zero);
    const Tokenizer tokenizer = file.starts_with("{") ? Tokenizer::parse(file, "fuzz", config)
                                                      : Tokenizer::parse_tiktoken(file, "fuzz", config);
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
    chat(tokenizer);
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
  return 0;
}
