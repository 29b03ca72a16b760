// frugal data build: texts to tokenised shards, which `frugal train data=SHARDS` reads without loading them.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/data_commands.h"
#include "data/shard_build.h"

namespace frugal::cli {

namespace {
struct DataBuildOptions {
  data::ShardBuild build;
  std::string tokenizer, dedupe = "none";
};

void run_data_build(DataBuildOptions o) {
  o.build.corpus.dedupe = data::parse_dedupe(o.dedupe);
  const text::Tokenizer tokenizer = text::Tokenizer::load(o.tokenizer);
  const data::ShardBuildResult r = data::build_shards(o.build, tokenizer);
  data::print_report(r.report);
  if (r.resumed_documents > 0)
    info("an interrupted build had {} documents in shards already", r.resumed_documents);
  int64_t bytes = 0;
  for (const data::ShardEntry& s : r.manifest.shards) bytes += s.bytes;
  const double text = static_cast<double>(r.manifest.bytes);
  std::printf("%s: %lld documents, %s tokens of %.1f MB of text (%.2f bytes per token)\n",
              o.build.out.c_str(), static_cast<long long>(r.manifest.documents),
              format_count(static_cast<double>(r.manifest.tokens)).c_str(), text * 1e-6,
              text / static_cast<double>(std::max<int64_t>(1, r.manifest.tokens)));
  std::printf("%zu shards, %.1f MB, in %s (%.1f MB of text per second)\n", r.manifest.shards.size(),
              static_cast<double>(bytes) * 1e-6, format_seconds(r.seconds).c_str(), text * 1e-6 / r.seconds);
}
}  // namespace

void add_data_build_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand(
      "build",
      "tokenise texts into shards on disk, for corpora that memory does not hold; the same command "
      "goes on after an interruption");
  auto o = std::make_shared<DataBuildOptions>();
  c->add_option("DATA", o->build.data,
                "text or .jsonl files, also .gz and .zst; folders; - for standard input")
      ->required();
  c->add_option("--tokenizer", o->tokenizer, "directory, tokenizer.json or tiktoken.model")->required();
  c->add_option("--out", o->build.out, "directory of shards to make")->required();
  c->add_option("--separator", o->build.corpus.read.separator,
                "splits a text file into documents; without it a file is one document");
  c->add_option("--text-field", o->build.corpus.read.text_field, "field of a .jsonl line that holds the text")
      ->capture_default_str();
  c->add_option("--extensions", o->build.corpus.extensions,
                "files of a folder that are read, by the end of their names (.txt,.jsonl); without it all")
      ->delimiter(',')
      ->allow_extra_args(false);
  c->add_option("--dedupe", o->dedupe, "none, exact or near: leave out texts that were seen before")
      ->capture_default_str();
  c->add_option("--fim-rate", o->build.fim_rate,
                "share of the texts that are also stored with their middle last (fill in the middle)")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  c->add_flag("--strict", o->build.corpus.read.strict,
              "an unusable file or line is an error instead of being left out and counted");
  c->add_option("-t,--threads", o->build.threads, "0: every core that the process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  c->add_option("--shard-tokens", o->build.shard_tokens,
                "a shard ends with the document that reaches this size")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->capture_default_str();
  c->callback([o] { run_data_build(*o); });
}

}  // namespace frugal::cli
