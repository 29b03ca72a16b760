// A run that takes a second: 47 thousand parameters with every part of the architecture, on the built-in
// course.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "data/course.h"
#include "train/recipe.h"

namespace frugal::test {

// Makes root/tasks.jsonl, which such runs read.
inline void write_tasks(const std::string& root) {
  make_directories(root);
  write_file_atomic(root + "/tasks.jsonl", data::course_text(1, 300));
}
// Of the run root/name; later settings win.
inline train::Recipe toy_recipe(const std::string& root, const std::string& name,
                                const std::vector<std::string>& more = {}) {
  std::vector<std::string> settings = {"hidden_size=32",
                                       "num_hidden_layers=2",
                                       "intermediate_size=48",
                                       "num_attention_heads=2",
                                       "n_routed_experts=4",
                                       "num_experts_per_tok=2",
                                       "n_group=2",
                                       "topk_group=1",
                                       "moe_intermediate_size=16",
                                       "qk_nope_head_dim=8",
                                       "qk_rope_head_dim=4",
                                       "v_head_dim=8",
                                       "kv_lora_rank=8",
                                       "q_lora_rank=8",
                                       "vocab_size=300",
                                       "sequence_length=32",
                                       "batch=4",
                                       "microbatch=4",
                                       "steps=12",
                                       "warmup_steps=2",
                                       "eval_every=5",
                                       "sample_every=0",
                                       "threads=2",
                                       "data=" + root + "/tasks.jsonl",
                                       "out=" + root + "/" + name};
  settings.insert(settings.end(), more.begin(), more.end());
  return train::load_recipe("nano", settings);
}

}  // namespace frugal::test
