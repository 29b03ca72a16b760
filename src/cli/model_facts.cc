#include "cli/model_facts.h"

#include <nlohmann/json.hpp>

#include "base/disk.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json_strict.h"
#include "base/memory.h"
#include "cli/model_argument.h"
#include "model/manifest.h"
#include "text/chat.h"
#include "train/recipe.h"

namespace frugal::cli {

namespace {
// A template that `frugal chat` refuses is no defect of the model.
std::string chat_format(const text::Tokenizer& t) {
  try {
    return text::chat_format_name(text::chat_template(t).format);
  } catch (const Error&) {
    return "a template that frugal chat does not write";
  }
}

TokenizerFacts tokenizer_facts(const std::string& directory, const model::ModelConfig& config) {
  TokenizerFacts f;
  try {
    const text::Tokenizer t = text::Tokenizer::load(directory);
    f.tokens = t.vocab_size();
    f.bos = t.bos_id();
    f.eos = t.eos_id();
    if (f.bos >= 0) f.bos_text = t.token_text(f.bos);
    if (f.eos >= 0) f.eos_text = t.token_text(f.eos);
    f.chat_format = chat_format(t);
    check_tokenizer(t, config, directory);
  } catch (const Error& e) {
    f.problem = e.what();
  }
  return f;
}

std::optional<TrainingFacts> training_facts(const std::string& directory) {
  const std::string path = directory + "/trainer/state.json";
  if (!file_exists(path)) return {};
  const nlohmann::json s = parse_json_object(read_file(path), path, {.remedy = "use another checkpoint"});
  TrainingFacts f;
  const auto step = s.find("step"), best = s.find("best_validation");
  if (step == s.end() || !step->is_number_integer())
    fail(path, "has no number step", "use another checkpoint");
  f.step = step->get<int64_t>();
  if (best != s.end() && best->is_number()) f.best_validation = best->get<double>();
  return f;
}

std::vector<FitFacts> what_fits(const model::ModelConfig& c, int64_t available) {
  std::vector<int64_t> contexts;
  for (const int64_t n : {int64_t{4096}, int64_t{32768}})
    if (n < c.max_position_embeddings) contexts.push_back(n);
  contexts.push_back(c.max_position_embeddings);
  std::vector<FitFacts> fits;
  for (const auto operand : {kernels::Operand::kBF16, kernels::Operand::kF32}) {
    if (c.bits > 0 && operand == kernels::Operand::kF32) continue;  // integers run beside bf16
    const int64_t weights = model::Model::memory_bytes(c, operand, false);
    for (const bool absorbed : {false, true})
      for (const int64_t context : contexts) {
        const int64_t other =
            infer::Engine::memory_bytes(c, operand, {.max_context = context, .cache = {absorbed}});
        fits.push_back({operand == kernels::Operand::kBF16 ? "bf16" : "f32",
                        absorbed ? "absorbed" : "expanded", context, weights, other,
                        available >= 0 && weights + other <= available});
      }
  }
  return fits;
}

void add_weights(const std::string& directory, ModelFacts* f) {
  const model::CheckpointFiles files(directory);
  model::refuse_more_experts_than_tensors(files, f->config, directory);
  model::Weights weights;
  const model::ParamTable table = model::build_param_table(f->config, &weights);
  f->parts = model::count_parts(f->config, table, weights, &files);
  f->problems = model::tensor_problems(files, f->config, table, directory);
  for (const auto& shard : files.shards())
    f->shards.push_back({shard->path().substr(shard->path().rfind('/') + 1),
                         static_cast<int64_t>(shard->tensors().size()), shard->file_bytes()});
}

ModelFacts from_directory(const std::string& directory) {
  ModelFacts f;
  f.source = directory;
  f.config = model::load_config(directory);
  if (model::CheckpointFiles::exist(directory)) add_weights(directory, &f);
  f.checksums = file_exists(directory + "/" + model::kManifestName);
  if (!text::Tokenizer::find(directory).empty()) f.tokenizer = tokenizer_facts(directory, f.config);
  f.training = training_facts(directory);
  return f;
}

ModelFacts from_file(const std::string& path) {
  ModelFacts f;
  f.source = path;
  f.config = path.ends_with(".json") ? model::parse_config(read_file(path), path)
                                     : train::load_recipe(path, {}).model;
  model::check_config(f.config, path);
  return f;
}
}  // namespace

ModelFacts gather_model_facts(const std::string& path) {
  ModelFacts f = is_directory(path) ? from_directory(model_directory(path)) : from_file(path);
  model::Weights weights;
  const model::ParamTable table = model::build_param_table(f.config, &weights);
  if (f.parts.empty()) f.parts = model::count_parts(f.config, table, weights, nullptr);
  constexpr std::pair<const char*, model::StoredFormat> formats[] = {{"f32", model::StoredFormat::kF32},
                                                                     {"bf16", model::StoredFormat::kBF16},
                                                                     {"fp8", model::StoredFormat::kFP8},
                                                                     {"int8", model::StoredFormat::kInt8},
                                                                     {"int4", model::StoredFormat::kInt4}};
  for (const auto& [name, format] : formats) {
    int64_t bytes = 0;
    for (const model::StoredTensor& t : model::stored_tensors(table, weights, format)) bytes += t.bytes();
    f.as_files.emplace_back(name, bytes);
  }
  f.free_disk = free_disk_bytes(is_directory(path) ? path : ".");
  f.available_memory = available_memory_bytes();
  f.fits = what_fits(f.config, f.available_memory);
  return f;
}

int64_t total_parameters(const ModelFacts& f) {
  int64_t n = 0;
  for (const model::PartCount& p : f.parts) n += p.parameters;
  return n;
}
int64_t mtp_parameters(const ModelFacts& f) {
  for (const model::PartCount& p : f.parts)
    if (p.part == model::Part::kMtp) return p.parameters;
  return 0;
}
int64_t total_active(const ModelFacts& f) {
  int64_t n = 0;
  for (const model::PartCount& p : f.parts) n += p.active;
  return n;
}
int64_t total_bytes(const ModelFacts& f) {
  int64_t n = 0;
  for (const model::PartCount& p : f.parts) n += p.bytes();
  return n;
}

}  // namespace frugal::cli
