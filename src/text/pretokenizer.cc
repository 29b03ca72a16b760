#include "text/pretokenizer.h"

namespace frugal::text {

PreTokenizer::PreTokenizer(const std::vector<SplitStage>& stages, Method method) {
  if (method == Method::kFastest) deepseek_ = DeepSeekSplit::recognise(stages);
  if (deepseek_) return;
  stages_.reserve(stages.size());
  for (const SplitStage& stage : stages) stages_.emplace_back(stage.pattern, stage.syntax, stage.where);
}

}  // namespace frugal::text
