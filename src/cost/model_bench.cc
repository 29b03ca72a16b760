#include "cost/model_bench.h"

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "base/rng.h"
#include "cost/energy.h"
#include "infer/engine.h"

namespace frugal::cost {

namespace {
infer::EngineOptions engine_options(const ModelTest& t, bool absorbed) {
  infer::EngineOptions o;
  o.absorbed = absorbed;
  o.max_sequences = t.batch;
  // A prompt has at least one token; one more is sampled behind it.
  o.max_context = std::max<int64_t>(t.depth, 1) + t.tokens + 2;
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

// Runs f and adds what it did and took to the row.
template <class F>
double measured(kernels::Ctx& ctx, kernels::Work* work, F f) {
  kernels::Profile profile;
  ctx.profile = &profile;
  const auto start = std::chrono::steady_clock::now();
  f();
  const double seconds = seconds_since(start);
  ctx.profile = nullptr;
  for (const kernels::ProfileRow& r : profile.rows) {
    if (r.name != "products" && r.name != "attention") continue;
    work->flops += r.work.flops;
    work->bytes += r.work.bytes;
  }
  return seconds;
}

struct Runner {
  kernels::Ctx& ctx;
  model::Model& model;
  const kernels::Machine& limits;
  const ModelBenchOptions& options;

  // tokens: of all passes that `work` counts; seconds: the least that they could take.
  void finish(ModelRow* row, const kernels::Work& work, double floor, double tokens, const EnergyMeter& meter,
              double joules) const {
    row->flops_per_token = work.flops / tokens;
    row->bytes_per_token = work.bytes / tokens;
    row->floor_seconds_per_token = floor / tokens;
    row->joules_measured = meter.measured();
    row->joules_per_token = joules / tokens;
  }
  double floor(const kernels::Work& w) const {
    return std::max(w.bytes / limits.read_bytes, w.flops / limits.flops);
  }

  ModelRow prefill(const ModelTest& t) {
    infer::Engine engine(ctx, model, engine_options(t, options.absorbed));
    ModelRow row{.test = t, .rates = {}};
    kernels::Work work;
    double least = 0;
    EnergyMeter meter(ctx.pool.size());
    double tokens = 0;
    for (int i = 0; i <= options.repeats; ++i) {  // the first touches the weights
      engine.add(request(t, t.tokens, 1, model.config.vocab_size, static_cast<uint64_t>(i)));
      kernels::Work once;
      const double seconds = measured(ctx, &once, [&] {
        while (!engine.idle()) engine.step();
      });
      if (i == 0) continue;
      row.rates.push_back(static_cast<double>(t.tokens) / seconds);
      work.flops += once.flops;
      work.bytes += once.bytes;
      least += floor(once);
      tokens += static_cast<double>(t.tokens);
    }
    finish(&row, work, least, tokens, meter, meter.joules() * options.repeats / (options.repeats + 1));
    return row;
  }

  ModelRow decode(const ModelTest& t) {
    infer::Engine engine(ctx, model, engine_options(t, options.absorbed));
    ModelRow row{.test = t, .rates = {}};
    constexpr int64_t kWarm = 2;
    for (int64_t b = 0; b < t.batch; ++b)
      engine.add(request(t, std::max<int64_t>(t.depth, 1), t.tokens + 1, model.config.vocab_size,
                         static_cast<uint64_t>(b)));
    // Until every sequence has its first token.
    for (int64_t first = 0; first < t.batch;)
      for (const infer::Event& e : engine.step()) first += e.token >= 0 && e.finish == infer::Finish::kNone;
    kernels::Work work;
    double least = 0, tokens = 0;
    EnergyMeter meter(ctx.pool.size());
    for (int64_t i = 0; !engine.idle(); ++i) {
      kernels::Work once;
      const double seconds = measured(ctx, &once, [&] { engine.step(); });
      if (i < kWarm && t.tokens > kWarm) continue;
      row.rates.push_back(static_cast<double>(t.batch) / seconds);
      work.flops += once.flops;
      work.bytes += once.bytes;
      least += floor(once);
      tokens += static_cast<double>(t.batch);
    }
    finish(&row, work, least, tokens, meter, meter.joules());
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

int64_t model_bench_bytes(const model::ModelConfig& config, kernels::Operand operand,
                          const ModelBenchOptions& options) {
  int64_t most = 0;
  for (const ModelTest& t : options.tests)
    most = std::max(most, infer::Engine::memory_bytes(config, operand, engine_options(t, options.absorbed)));
  return most;
}

void bench_model(kernels::Ctx& ctx, model::Model& model, const kernels::Machine& limits,
                 const ModelBenchOptions& options, const std::function<void(const ModelRow&)>& report) {
  Runner runner{ctx, model, limits, options};
  for (const ModelTest& t : options.tests) report(t.prefill ? runner.prefill(t) : runner.decode(t));
}

}  // namespace frugal::cost
