// frugal synth CONFIG OUT: a checkpoint of any shape with random weights.
#include "model/synth.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/stored_format.h"
#include "train/recipe.h"

namespace frugal::cli {

namespace {
struct SynthOptions {
  std::string config, out, format = "bf16";
  std::vector<std::string> settings;
  uint64_t seed = 1;
  int threads = 0;
};

// A config.json, a directory that holds one, or a preset or recipe with settings.
model::ModelConfig config_argument(const SynthOptions& o) {
  const bool directory = is_directory(o.config);
  if (directory || o.config.ends_with(".json")) {
    if (!o.settings.empty())
      fail(o.settings[0], "changes a config.json", "edit the file; key=value is for presets and recipes");
    const std::string path = directory ? o.config + "/config.json" : o.config;
    return model::parse_config(read_file(path), path);
  }
  std::vector<std::string> settings = {"data=none", "out=none"};
  settings.insert(settings.end(), o.settings.begin(), o.settings.end());
  return train::load_recipe(o.config, settings).model;
}

void run_synth(const SynthOptions& o) {
  const model::StoredFormat format = stored_format("--format", o.format);
  const model::ModelConfig config = config_argument(o);
  kernels::Ctx ctx(o.threads);
  constexpr int64_t kShardBytes = 5'000'000'000;
  const auto start = std::chrono::steady_clock::now();
  model::SynthReport report;
  {
    ProgressLine line;
    report = model::synthesise_model(
        ctx, config, format, o.seed, o.out, kShardBytes, [&](int64_t done, int64_t all) {
          const double mb = static_cast<double>(done) * 1e-6, total = static_cast<double>(all) * 1e-6;
          const double rate = mb / std::max(seconds_since(start), 1e-3);
          line.show(fmt::format("writing  {:.1f} of {:.1f} MB  {:.0f} MB/s  ETA {}", mb, total, rate,
                                format_seconds((total - mb) / rate)));
        });
  }
  const double seconds = seconds_since(start), mb = static_cast<double>(report.bytes) * 1e-6;
  info("wrote {} tensors, {:.1f} MB in {} file{}, to {} in {} ({:.0f} MB/s)", report.tensors, mb,
       report.shards, report.shards == 1 ? "" : "s", o.out, format_seconds(seconds), mb / seconds);
}
}  // namespace

void add_synth_command(CLI::App& app) {
  auto o = std::make_shared<SynthOptions>();
  CLI::App* c =
      app.add_subcommand("synth", "write a checkpoint of any shape with random weights, to measure on");
  c->add_option("config", o->config, "config.json, or a preset such as moonlight-16b")->required();
  c->add_option("out", o->out, "directory to write; must not exist")->required();
  c->add_option("settings", o->settings, "key=value changes of a preset: num_hidden_layers=4");
  c->add_option("--format", o->format, kStoredFormats)->capture_default_str();
  c->add_option("--seed", o->seed, "same seed, same bytes")->capture_default_str()->check(not_negative);
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->callback([o] { run_synth(*o); });
}

}  // namespace frugal::cli
