#include "train/run_data.h"

#include <xxhash.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "data/fim.h"
#include "data/shards.h"
#include "data/tokenize.h"
#include "text/chat.h"
#include "text/tokenizer_train.h"

namespace frugal::train {

namespace {
// A source that has been read.
struct Input {
  data::Source source;
  std::vector<data::Document> train, validation;  // of texts
  data::ShardSet shards;                          // of shards,
  std::vector<bool> in_validation;                // by document
  uint64_t tokenizer_hash = 0;
};

// Calls f(record, its plain tokens, its FIM tokens).
template <class F>
void for_each_document(const data::ShardSet& set, F&& f) {
  for (const data::ShardView& shard : set.shards) {
    size_t at = 0;
    for (const data::DocumentRecord& r : shard.records) {
      f(r, shard.tokens.subspan(at, r.tokens), shard.tokens.subspan(at + r.tokens, r.fim_tokens));
      at += size_t{r.tokens} + r.fim_tokens;
    }
  }
}

void check_shards(const data::ShardSet& set, const Recipe& recipe) {
  if (recipe.fim_rate > set.manifest.fim_rate)
    fail(set.directory,
         fmt::format("was built with fim_rate {}, the recipe asks for {}", set.manifest.fim_rate,
                     recipe.fim_rate),
         "build the shards again with --fim-rate, or lower fim_rate");
  if (recipe.dedupe != "none" && recipe.dedupe != set.manifest.dedupe)
    fail(
        set.directory,
        fmt::format("was built with dedupe = {}, the recipe asks for {}", set.manifest.dedupe, recipe.dedupe),
        "build the shards again with --dedupe, or leave dedupe out");
}

// Texts stand in `train`, not split yet.
std::vector<Input> read_inputs(const Recipe& recipe, data::ReadReport* report) {
  const data::CorpusOptions options = corpus_options(recipe);
  data::SeenDocuments seen(options.dedupe);
  std::vector<Input> inputs;
  bool texts = false, shards = false;
  for (data::Source& source : data::find_sources(recipe.data, options.extensions)) {
    Input input;
    if (source.shards) {
      input.shards = data::open_shards(source.path);
      check_shards(input.shards, recipe);
      input.tokenizer_hash = input.shards.manifest.tokenizer_hash;
      shards = true;
    } else {
      data::read_source(source, options, &seen, &input.train, report);
      texts = true;
    }
    input.source = std::move(source);
    inputs.push_back(std::move(input));
  }
  if (texts && !shards) data::require_documents(*report, recipe.data[0]);
  data::print_report(*report);
  return inputs;
}

// A document of a shard as text again. The tokens of a byte-level tokenizer, joined, are the text.
data::Document decoded(const data::ShardSet& set, const data::DocumentRecord& record,
                       std::span<const int32_t> tokens) {
  if (record.is_conversation)
    fail(set.directory, "the corpus is one conversation and cannot be split",
         "give more, or set validation_fraction=0");
  const text::Tokenizer tokenizer = text::Tokenizer::load(set.directory + "/tokenizer");
  data::Document document{"", set.directory};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool frame = (i == 0 && tokens[i] == tokenizer.bos_id()) ||
                       (i + 1 == tokens.size() && tokens[i] == tokenizer.eos_id());
    if (!frame) document.text += tokenizer.token_text(tokens[i]);
  }
  return document;
}

// One rule for texts and shards: data::split_documents. Returns a hash of every input's texts.
std::vector<uint64_t> split_inputs(std::vector<Input>* inputs, const Recipe& recipe) {
  std::vector<data::DocumentKey> keys;
  std::vector<uint64_t> hashes;
  for (const Input& input : *inputs) {
    const size_t first = keys.size();
    for (const data::Document& d : input.train) keys.push_back({data::text_hash(d.text), d.text.size()});
    for_each_document(input.shards, [&](const data::DocumentRecord& r, auto, auto) {
      keys.push_back({r.hash, r.text_bytes});
    });
    hashes.push_back(XXH64(keys.data() + first, (keys.size() - first) * sizeof keys[0], 0));
  }
  if (keys.size() == 1 && recipe.validation_fraction > 0) {
    for (Input& input : *inputs) {
      for_each_document(input.shards, [&](const data::DocumentRecord& r, std::span<const int32_t> plain,
                                          auto) { input.train.push_back(decoded(input.shards, r, plain)); });
      input.shards = {};
      if (input.train.empty()) continue;
      data::Corpus corpus = data::split_documents(std::move(input.train), recipe.validation_fraction);
      input.train = std::move(corpus.train);
      input.validation = std::move(corpus.validation);
    }
    return hashes;
  }
  std::vector<bool> chosen(keys.size(), false);
  if (recipe.validation_fraction > 0)
    chosen = data::choose_validation(keys, recipe.validation_fraction, recipe.data[0]);
  size_t at = 0;
  for (Input& input : *inputs) {
    std::vector<data::Document> train;
    for (data::Document& d : input.train) (chosen[at++] ? input.validation : train).push_back(std::move(d));
    input.train = std::move(train);
    for_each_document(input.shards, [&](const data::DocumentRecord&, auto, auto) {
      input.in_validation.push_back(chosen[at++]);
    });
  }
  return hashes;
}

text::Tokenizer train_on(const std::vector<Input>& inputs, const Recipe& recipe) {
  std::vector<std::string_view> texts;
  bool chat = false;
  for (const Input& input : inputs) {
    for (const data::Document& d : input.train) {
      texts.push_back(d.text);
      chat = chat || !d.messages.empty();
    }
  }
  text::TokenizerTrainOptions options;
  options.vocab_size = static_cast<int32_t>(recipe.model.vocab_size);
  options.digits = static_cast<int32_t>(recipe.digits);
  options.split_capitals = recipe.split_capitals;
  if (recipe.fim_rate > 0) options.added_tokens = {data::kFimHole, data::kFimBegin, data::kFimEnd};
  if (chat)
    for (const char* token : {text::kUserToken, text::kAssistantToken}) options.added_tokens.push_back(token);
  // 256 bytes, BOS, EOS, padding
  const int64_t smallest = 259 + static_cast<int64_t>(options.added_tokens.size());
  if (recipe.model.vocab_size < smallest)
    fail("recipe",
         fmt::format("vocab_size {} has no room for a byte-level tokenizer", recipe.model.vocab_size),
         fmt::format("use {} or more, or name a tokenizer", smallest));
  return text::train_tokenizer(texts, options);
}

text::Tokenizer choose_tokenizer(const std::vector<Input>& inputs, const Recipe& recipe, std::string source) {
  for (const Input& input : inputs)
    if (source.empty() && input.source.shards) source = input.source.path + "/tokenizer";
  if (source.empty()) return train_on(inputs, recipe);
  text::Tokenizer tokenizer = text::Tokenizer::load(source);
  for (const Input& input : inputs)
    if (input.source.shards && input.tokenizer_hash != data::tokenizer_hash(tokenizer))
      fail(input.source.path, "was built with another tokenizer than " + source,
           "leave tokenizer out to use that of the shards, or build them again");
  return tokenizer;
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

// The spans point into the mapped files, which `train` and `validation` then hold.
void append_shards(const Input& input, double fim_rate, data::TokenizedDocuments* train,
                   data::TokenizedDocuments* validation) {
  size_t d = 0;
  for_each_document(input.shards, [&](const data::DocumentRecord& r, std::span<const int32_t> plain,
                                      std::span<const int32_t> fim) {
    if (input.in_validation[d++])
      validation->add(plain, r.hash, r.content_bytes);
    else
      train->add(!fim.empty() && data::fim_chosen(r.hash, fim_rate) ? fim : plain, r.hash, r.content_bytes);
  });
  for (data::TokenizedDocuments* part : {train, validation}) part->storage.push_back(input.shards.files);
}
}  // namespace

data::CorpusOptions corpus_options(const Recipe& r) {
  return {{r.separator, r.text_field, r.strict},
          r.extensions,
          data::parse_dedupe(r.dedupe),
          r.validation_fraction};
}

RunData load_run_data(const Recipe& recipe, const std::string& tokenizer_source) {
  data::check_fraction(recipe.validation_fraction);  // before reading gigabytes
  RunData run;
  std::vector<Input> inputs = read_inputs(recipe, &run.report);
  run.source_hashes = split_inputs(&inputs, recipe);
  run.tokenizer = std::make_unique<text::Tokenizer>(choose_tokenizer(inputs, recipe, tokenizer_source));
  check_tokenizer(*run.tokenizer, recipe);
  const data::TextEncoder encoder = data::encoder_of(*run.tokenizer, recipe.fim_rate);
  const data::TextEncoder plain = data::encoder_of(*run.tokenizer, 0);
  ThreadPool pool(static_cast<int>(recipe.threads));
  data::TokenizedDocuments train, validation;
  const bool mixture = inputs.front().source.weight > 0;
  for (Input& input : inputs) {
    if (mixture) {
      train.weights.push_back(input.source.weight);
      train.source_starts.push_back(train.count());
    }
    data::append_tokens(input.train, encoder, pool, &train);
    data::append_tokens(input.validation, plain, pool, &validation);
    append_shards(input, recipe.fim_rate, &train, &validation);
    input = {};
  }
  if (mixture) train.source_starts.push_back(train.count());
  run.validation_bytes = static_cast<double>(validation.bytes);
  run.validation_documents = validation.count();
  run.validation_tokens = validation.tokens;
  if (validation.count() > 0) run.validation_rows = data::pack_rows(validation, recipe.sequence_length);
  run.loader = std::make_unique<data::Loader>(std::move(train), recipe.sequence_length, recipe.batch,
                                              static_cast<uint64_t>(recipe.seed));
  info("data        {} training documents, {} tokens; validation {} bytes, {} rows of {}",
       run.loader->documents().count(), format_count(static_cast<double>(run.loader->documents().tokens)),
       format_count(run.validation_bytes), run.validation_rows.count, recipe.sequence_length);
  return run;
}

}  // namespace frugal::train
