#include "cost/model_bench.h"

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "base/rng.h"
#include "cost/energy.h"
#include "infer/engine.h"

namespace frugal::cost {

namespace {
constexpr int64_t kWarm = 2;  // steps of decoding that are not counted

int64_t prompt_of(const ModelTest& t) { return t.prefill ? t.tokens : std::max<int64_t>(t.depth, 1); }
// Sequences that have their prompt go on while others read theirs; those steps are not counted.
int64_t sampled_of(const ModelTest& t) {
  constexpr int64_t kLeastChunk = 512;
  return t.prefill ? 1 : t.tokens + (prompt_of(t) / kLeastChunk + 2) * t.batch + kWarm;
}

infer::EngineOptions engine_options(const ModelTest& t, const infer::CacheForm& cache) {
  infer::EngineOptions o;
  o.cache = cache;
  o.max_sequences = t.batch;
  o.max_context = positions_of(t);
  return o;
}

infer::Request request(const ModelTest& t, int64_t prompt, int64_t sampled, int64_t vocab, uint64_t stream) {
  infer::Request r;
  const uint64_t key = rng_key(stream, "bench " + t.name());
  for (int64_t i = 0; i < prompt; ++i)
    r.prompt.push_back(
        static_cast<int32_t>(rng_uniform(key, static_cast<uint64_t>(i)) * static_cast<double>(vocab)));
  r.sampling.temperature = 0;
  r.max_tokens = sampled;
  return r;
}

// The operand type of most of the weights.
kernels::Operand most_of(const model::ModelConfig& c, kernels::Operand operand) {
  return c.bits > 0 ? model::integer_operand(c.bits) : operand;
}

// A rate that a quarter of the runs exceeds: above what neighbours leave on average, below what a lucky millisecond
// shows.
double upper_quartile(std::vector<double> rates) {
  const auto at = rates.begin() + static_cast<std::ptrdiff_t>(rates.size() * 3 / 4);
  std::nth_element(rates.begin(), at, rates.end());
  return *at;
}

class LimitProbes {
 public:
  LimitProbes(kernels::Ctx& ctx, kernels::Operand products, kernels::Operand attention)
      : read_(ctx), products_(ctx, products), attention_(ctx, attention) {}
  void run() {
    read_rates_.push_back(read_.run());
    product_rates_.push_back(products_.run());
    attention_rates_.push_back(attention_.run());
  }
  ModelLimits limits() const {
    ModelLimits l;
    l.machine.cpu = kernels::cpu_name();
    l.machine.read_bytes = upper_quartile(read_rates_);
    l.machine.flops = upper_quartile(product_rates_);
    l.attention_flops = upper_quartile(attention_rates_);
    return l;
  }

 private:
  kernels::ReadProbe read_;
  kernels::ProductProbe products_, attention_;
  std::vector<double> read_rates_, product_rates_, attention_rates_;
};

struct Runner {
  kernels::Ctx& ctx;
  model::Model& model;
  const ModelBenchOptions& options;

  // Runs f and adds where its time went to the row.
  template <class F>
  double measured(ModelRow* row, EnergyMeter* meter, F f) const {
    const double joules = meter->joules();
    ctx.profile = &row->profile;
    const auto start = std::chrono::steady_clock::now();
    f();
    const double seconds = seconds_since(start);
    ctx.profile = nullptr;
    row->seconds += seconds;
    row->joules_per_token += meter->joules() - joules;  // of all so far
    return seconds;
  }

  LimitProbes probes() const { return {ctx, most_of(model.config, model.operand), model.operand}; }

  // What of kv_b_proj's work a prompt needs: with an absorbed cache every chunk expands the positions before it again.
  double needed_expansion(const ModelTest& t) const {
    if (!options.cache.absorbed) return 1;
    const int64_t chunk = infer::batch_tokens(model.config, engine_options(t, options.cache));
    int64_t expanded = 0;
    for (int64_t at = 0; at < t.tokens; at += chunk) expanded += std::min(t.tokens, at + chunk);
    return static_cast<double>(t.tokens) / static_cast<double>(expanded);
  }

  // tokens: of all passes of the profile. expansion: what of kv_b_proj's work counts.
  void finish(ModelRow* row, double tokens, double expansion, const ModelLimits& limits, EnergyMeter* meter) const {
    row->joules_measured = meter->measured();
    row->joules_per_token /= tokens;
    row->limits = limits;
    kernels::Work work;
    double arithmetic = 0;
    for (const kernels::ProfileRow& r : row->profile.rows) {
      const bool products = r.name == "products", attention = r.name == "attention";
      if (!products && !attention) continue;
      const double part = r.detail == model.weights.layers[0].attention.kv_b_proj.label ? expansion : 1;
      work.flops += part * r.work.flops;
      work.bytes += part * r.work.bytes;
      arithmetic += part * r.work.flops / (products ? limits.machine.flops : limits.attention_flops);
    }
    row->flops_per_token = work.flops / tokens;
    row->bytes_per_token = work.bytes / tokens;
    row->floor_seconds_per_token = std::max(work.bytes / limits.machine.read_bytes, arithmetic) / tokens;
  }

  ModelRow prefill(const ModelTest& t) const {
    infer::Engine engine(ctx, model, engine_options(t, options.cache));
    ModelRow row{.test = t, .rates = {}, .limits = {}, .profile = {}};
    LimitProbes probe = probes();
    const auto run = [&](int i) {
      engine.add(request(t, t.tokens, 1, model.config.vocab_size, static_cast<uint64_t>(i)));
      while (!engine.idle()) engine.step();
    };
    run(0);  // touches the weights
    EnergyMeter meter(ctx.pool.size());
    constexpr int kProbes = 20;  // before and after each prompt
    for (int i = 1; i <= options.repeats; ++i) {
      for (int k = 0; k < kProbes; ++k) probe.run();
      row.rates.push_back(static_cast<double>(t.tokens) / measured(&row, &meter, [&] { run(i); }));
      for (int k = 0; k < kProbes; ++k) probe.run();
    }
    finish(&row, static_cast<double>(t.tokens * options.repeats), needed_expansion(t), probe.limits(), &meter);
    return row;
  }

  ModelRow decode(const ModelTest& t) const {
    infer::Engine engine(ctx, model, engine_options(t, options.cache));
    ModelRow row{.test = t, .rates = {}, .limits = {}, .profile = {}};
    LimitProbes probe = probes();
    const int64_t sampled = sampled_of(t);
    for (int64_t b = 0; b < t.batch; ++b)
      engine.add(request(t, prompt_of(t), sampled, model.config.vocab_size, static_cast<uint64_t>(b)));
    // Until every sequence takes part.
    while (static_cast<int64_t>(engine.step().size()) < t.batch) {
    }
    for (int64_t i = 0; i < kWarm; ++i) engine.step();
    EnergyMeter meter(ctx.pool.size());
    for (int64_t i = 0; i < t.tokens; ++i) {
      row.rates.push_back(static_cast<double>(t.batch) / measured(&row, &meter, [&] { engine.step(); }));
      probe.run();
    }
    finish(&row, static_cast<double>(t.tokens * t.batch), 1, probe.limits(), &meter);
    return row;
  }
};
}  // namespace

std::string ModelTest::name() const {
  std::string n = (prefill ? "pp" : "tg") + std::to_string(tokens);
  if (depth > 0) n += "@d" + std::to_string(depth);
  if (batch > 1) n += "@b" + std::to_string(batch);
  return n;
}

// Of the mean time per token, so that slow steps count with their length.
double ModelRow::average() const {
  double seconds = 0;
  for (const double r : rates) seconds += 1 / r;
  return static_cast<double>(rates.size()) / seconds;
}
double ModelRow::deviation() const {
  const double mean = average();
  double sum = 0;
  for (const double r : rates) sum += (r - mean) * (r - mean);
  return rates.size() < 2 ? 0 : std::sqrt(sum / static_cast<double>(rates.size() - 1));
}

int64_t positions_of(const ModelTest& t) { return prompt_of(t) + sampled_of(t); }

int64_t model_bench_bytes(const model::ModelConfig& config, kernels::Operand operand,
                          const ModelBenchOptions& options) {
  int64_t most = 0;
  for (const ModelTest& t : options.tests)
    most = std::max(most, infer::Engine::memory_bytes(config, operand, engine_options(t, options.cache)));
  return most;
}

void bench_model(kernels::Ctx& ctx, model::Model& model, const ModelBenchOptions& options,
                 const std::function<void(const ModelRow&)>& report) {
  const Runner runner{ctx, model, options};
  for (const ModelTest& t : options.tests) report(t.prefill ? runner.prefill(t) : runner.decode(t));
}

}  // namespace frugal::cost
