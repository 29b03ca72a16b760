#include "train/run_data.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/corpus.h"
#include "data/tokenize.h"
#include "text/chat.h"
#include "text/tokenizer_train.h"

namespace frugal::train {

namespace {
text::Tokenizer train_on(const std::vector<data::Document>& documents, const Recipe& recipe) {
  std::vector<std::string_view> texts;
  bool chat = false;
  for (const data::Document& d : documents) {
    texts.push_back(d.text);
    chat = chat || !d.messages.empty();
  }
  const int64_t smallest = chat ? 261 : 259;  // 256 bytes, BOS, EOS, padding (user, assistant)
  if (recipe.model.vocab_size < smallest)
    fail("recipe",
         fmt::format("vocab_size {} has no room for a byte-level tokenizer", recipe.model.vocab_size),
         fmt::format("use {} or more, or name a tokenizer", smallest));
  text::TokenizerTrainOptions options;
  options.vocab_size = static_cast<int32_t>(recipe.model.vocab_size);
  options.digits = static_cast<int32_t>(recipe.digits);
  options.split_capitals = recipe.split_capitals;
  if (chat) options.added_tokens = {text::kUserToken, text::kAssistantToken};
  return text::train_tokenizer(texts, options);
}

void check_tokenizer(const text::Tokenizer& tokenizer, const Recipe& recipe) {
  if (tokenizer.vocab_size() > recipe.model.vocab_size)
    fail("recipe",
         fmt::format("the tokenizer has {} tokens, vocab_size is {}", tokenizer.vocab_size(),
                     recipe.model.vocab_size),
         "raise vocab_size or use a smaller tokenizer");
  // Found out now rather than at the first sample.
  const int64_t prompt =
      static_cast<int64_t>(tokenizer.encode(recipe.sample_prompt).size()) + (tokenizer.bos_id() >= 0);
  if (recipe.sample_every > 0 && prompt >= recipe.model.max_position_embeddings)
    fail("recipe",
         fmt::format("sample_prompt has {} tokens, max_position_embeddings is {}", prompt,
                     recipe.model.max_position_embeddings),
         "shorten sample_prompt");
}

data::TextEncoder encoder_of(const text::Tokenizer& tokenizer) {
  return {[&tokenizer](std::string_view s) { return tokenizer.encode(s, false); }, tokenizer.bos_id(),
          tokenizer.eos_id(),
          [&tokenizer](std::span<const text::Message> m) { return text::encode_chat(tokenizer, m, false); }};
}
}  // namespace

RunData load_run_data(const Recipe& recipe, const std::string& tokenizer_source) {
  const data::Corpus corpus = data::load_corpus(recipe.data, {recipe.separator, recipe.validation_fraction});
  RunData run;
  run.tokenizer = std::make_unique<text::Tokenizer>(
      tokenizer_source.empty() ? train_on(corpus.train, recipe) : text::Tokenizer::load(tokenizer_source));
  check_tokenizer(*run.tokenizer, recipe);
  const data::TextEncoder encoder = encoder_of(*run.tokenizer);
  run.loader = std::make_unique<data::Loader>(data::tokenize(corpus.train, encoder), recipe.sequence_length,
                                              recipe.batch, static_cast<uint64_t>(recipe.seed));
  const data::TokenizedDocuments validation = data::tokenize(corpus.validation, encoder);
  run.validation_bytes = static_cast<double>(validation.bytes);
  run.validation_rows = data::pack_rows(validation, recipe.sequence_length);
  info("data        {} training documents, {} tokens; validation {} bytes, {} rows of {}",
       corpus.train.size(), format_count(static_cast<double>(run.loader->documents().tokens.size())),
       format_count(run.validation_bytes), run.validation_rows.count, recipe.sequence_length);
  return run;
}

}  // namespace frugal::train
