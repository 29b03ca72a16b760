#include "report/tensorboard.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace frugal::report {

using nlohmann::json;

namespace {
constexpr std::pair<const char*, const char*> kTags[] = {
    {"loss", "train/loss"},
    {"mtp_loss", "train/mtp_loss"},
    {"balance_loss", "train/balance_loss"},
    {"lr", "train/learning_rate"},
    {"grad_norm", "train/gradient_norm"},
    {"tokens_per_second", "speed/tokens_per_second"},
    {"peak_share", "speed/share_of_peak"},
    {"val_loss", "validation/loss"},
    {"val_bits_per_byte", "validation/bits_per_byte"},
    {"val_mtp_loss", "validation/mtp_loss"},
    {"val_mtp_bits_per_byte", "validation/mtp_bits_per_byte"},
    {"mtp_acceptance", "validation/mtp_acceptance"},
};

// "gradient_norm/layer_3": tags have no spaces.
void add_list(const json& line, const char* key, const std::string& tag,
              const std::vector<std::string>& names, std::vector<Scalar>* out) {
  const auto list = line.find(key);
  if (list == line.end() || !list->is_array() || list->size() != names.size()) return;
  for (size_t i = 0; i < names.size(); ++i) {
    std::string name = names[i];
    std::replace(name.begin(), name.end(), ' ', '_');
    if ((*list)[i].is_number()) out->push_back({tag + name, (*list)[i].get<double>()});
  }
}
}  // namespace

std::vector<Scalar> scalars_of(std::string_view text, const std::vector<std::string>& groups,
                               const std::vector<std::string>& moe_layers, int64_t* step) {
  std::vector<Scalar> scalars;
  const json line = json::parse(text.begin(), text.end(), nullptr, false);
  if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) return scalars;
  *step = line["step"].get<int64_t>();
  for (const auto& [key, tag] : kTags)
    if (const auto v = line.find(key); v != line.end() && v->is_number())
      scalars.push_back({tag, v->get<double>()});
  add_list(line, "grad_norms", "gradient_norm/", groups, &scalars);
  add_list(line, "expert_load", "busiest_expert_by_mean/", moe_layers, &scalars);
  return scalars;
}

}  // namespace frugal::report
