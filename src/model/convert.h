// Model directories from one stored format to another, piece by piece: memory is needed for one piece of a
// tensor, never for a model.
#pragma once

#include <functional>
#include <string>

#include "kernels/ctx.h"
#include "model/calibration.h"
#include "model/stored.h"

namespace frugal::model {

struct ConvertOptions {
  StoredFormat format = StoredFormat::kBF16;
  int64_t shard_bytes = 5'000'000'000;  // a shard grows no larger, unless by a single tensor
  // int8 and int4: called when everything else has been checked; matrices that it knows are rounded with compensation.
  // calibrated: what it is made from, since an interrupted conversion goes on only with the same.
  std::function<Calibration()> calibrate = {};
  std::string calibrated = "";
  bool verify = false;                  // the written files are read back before they get their name
};

struct ConvertProgress {
  const char* phase = "";       // "converting", "verifying"
  int64_t done = 0, total = 0;  // bytes
};

struct ConvertReport {
  int64_t tensors = 0, bytes = 0;  // tensor bytes written
  size_t shards = 0;
  int64_t matrices = 0, compensated = 0;  // that became integers; of them, rounded with compensation
  size_t found = 0;                  // of them, finished by an earlier call
  std::vector<std::string> carried;  // other files, copied as they are
};

// Reads f32, bf16, f16, f64 and block-scaled e4m3; writes `to`, which must not exist, with config.json for
// the new format, shards, index, and manifest.json. Values:
//   - a tensor whose type does not change keeps its bytes, and so do the scales of one that stays e4m3;
//   - matrices and embedding: to bf16 by rounding to nearest even, to e4m3 by kernels::quantise_weights, from
//   e4m3 by
//     kernels::dequantise_weights;
//   - matrices to int8 or int4 by kernels::pack_matrix, as panels;
//   - norms, router matrix and router bias are a few thousandths of a model and lose nothing: what is not
//   BF16 becomes
//     F32; the bias is always F32. In f32 directories everything is F32;
//   - an fp8 directory converted to fp8 keeps the type of every tensor.
// Throws Error before anything is written if the source is not complete or the disk is too small; nothing is
// left under `to` if it fails later. Shards that were finished stay in TO.writing, and the same call goes on
// behind them, unless the source has changed.
ConvertReport convert_model(kernels::Ctx& ctx, const std::string& from, const std::string& to,
                            const ConvertOptions& options,
                            const std::function<void(const ConvertProgress&)>& progress);

}  // namespace frugal::model
