// The chat loop, used by `frugal chat` and at the end of `frugal demo`.
#pragma once

#include "cli/chat_session.h"

namespace frugal::cli {

struct ChatOptions {
  infer::SamplingParams sampling;
  std::string system;
  text::Thinking thinking = text::Thinking::kDefault;
  int64_t max_tokens = 0, context = 0;
  infer::CacheForm cache = {};
};
// Reads lines until their end or /quit. Answers go to stdout, what is said about them to stderr.
void run_chat(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer,
              const ChatOptions& options);

}  // namespace frugal::cli
