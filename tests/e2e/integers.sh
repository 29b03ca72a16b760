# int8 and int4 weights: quantize, synth, and running them.
cases=(quantize_keeps_the_model quantize_refuses quantized_same_bits model_cut_short quantize_goes_on quantize_calibrated synth_same_bytes bench_model doctor)

# $dense: a trained checkpoint whose widths fit panels of 32 rows. Made once.
dense=$work/dense
make_dense() {
  [ -d "$dense" ] ||
    train out="$dense" hidden_size=64 intermediate_size=96 moe_intermediate_size=32 steps=150 warmup_steps=5 \
      learning_rate=5e-3 max_position_embeddings=128 2>/dev/null
}

case_quantize_keeps_the_model() {
  make_dense
  head -n 60 "$tasks" >text
  local format
  for format in int8 int4; do
    runs 0 "$FRUGAL" quantize "$dense" $format --format $format --evaluate text --evaluate-tokens 600 --verify
    mentions err "every checksum holds"
    mentions out "600 tokens: perplexity"
    mentions $format/config.json '"quant_method": "frugal"|"group_size": 128'
    runs 0 "$FRUGAL" inspect $format
    mentions out "$format in groups of 128"
    runs 0 "$FRUGAL" generate $format "Question: " -n 20 --ignore-eos
    # One thread or three write the same bytes.
    runs 0 "$FRUGAL" quantize "$dense" again --format $format --threads 3
    diff -r $format again
    rm -r again
  done
  # int8 loses next to nothing: 0.01 nats at most, and 95 % of the most probable tokens stay.
  runs 0 "$FRUGAL" quantize "$dense" again --format int8 --evaluate text
  awk '{ for (i = 1; i <= NF; i++) { if ($i == "KL") kl = $(i + 1); if ($i == "equal") top = $(i + 1) } }
    END { exit !(kl > 0 && kl < 0.01 && top > 95) }' out || { cat out; die "int8 changes the model"; }
}

case_quantize_refuses() {
  make_dense
  refuses() {
    runs 1 "$FRUGAL" "${@:2}"
    mentions err "$1"
    absent made
  }
  refuses "--format|bf16|int8 or int4" quantize "$base" made --format bf16
  refuses "intermediate_size|multiple of 32" quantize "$base" made --format int4
  runs 0 "$FRUGAL" quantize "$dense" q --format int4
  refuses "q: holds int4 weights already" quantize q made --format int8
  refuses "q: holds int4 weights|they serve" generate q x --precision f32
  # A directory that lost a matrix, or has one of another size, names it.
  cp -r q lost
  sed -i 's/o_proj.weight_packed/o_proj.weight_pocked/' lost/model.safetensors
  runs 1 "$FRUGAL" generate lost x
  mentions err "weight_pocked|not part of the model"
  sed -i 's/"bits": 4/"bits": 8/' q/config.json
  runs 1 "$FRUGAL" generate q x
  mentions err "_packed is U8"
  sed -i 's/"bits": 8/"bits": 5/' q/config.json
  runs 1 "$FRUGAL" generate q x
  mentions err "quantization_config.bits|is 5"
}

# The same tokens and probabilities at every level, with any number of threads.
case_quantized_same_bits() {
  make_dense
  local format level
  for format in int8 int4; do
    runs 0 "$FRUGAL" quantize "$dense" $format --format $format
    rm -f first
    for level in scalar avx2 avx512; do
      FRUGAL_ISA=$level "$FRUGAL" generate $format "Question: What" -n 30 --ignore-eos --json -t 2 >tokens 2>err || {
        grep -q "cannot run level" err || { cat err; die "level $level"; }
        continue
      }
      [ "$(wc -l <tokens)" = 30 ] || die "no 30 tokens"
      [ -e first ] || cp tokens first
      same first tokens
    done
    "$FRUGAL" generate $format "Question: What" -n 30 --ignore-eos --json -t 1 >tokens 2>err
    same first tokens
  done
}

# Compensated rounding keeps more of the model on a text that it has not seen, and writes the same at any thread count.
case_quantize_calibrated() {
  make_dense
  head -n 200 "$tasks" >calibration
  tail -n 60 "$tasks" >text
  kl() { awk '{ for (i = 1; i < NF; i++) if ($i == "KL") print $(i + 1) }' out; }
  local plain calibrated
  runs 0 "$FRUGAL" quantize "$dense" plain --format int4 --evaluate text --evaluate-tokens 2000
  plain=$(kl)
  runs 0 "$FRUGAL" quantize "$dense" calibrated --format int4 --calibrate calibration --calibrate-tokens 6000 --evaluate text --evaluate-tokens 2000
  mentions err "matrices were rounded with compensation"
  calibrated=$(kl)
  awk -v a="$plain" -v b="$calibrated" 'BEGIN { exit !(b > 0 && b < 0.8 * a) }' || die "KL $plain plain, $calibrated calibrated"
  runs 0 "$FRUGAL" quantize "$dense" again --format int4 --calibrate calibration --calibrate-tokens 6000 --threads 3
  diff -r calibrated again
  # Broken off, it goes on with the same calibration only.
  runs 137 faulty FAULT=kill FAULT_AT=1 FAULT_IN=q.writing/model-00003 -- "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB --calibrate calibration
  runs 0 "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB --calibrate calibration --calibrate-tokens 6000
  grep "finished by an earlier call" err && die "took over files of another calibration"
  mv q whole
  runs 137 faulty FAULT=kill FAULT_AT=1 FAULT_IN=q.writing/model-00003 -- "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB --calibrate calibration --calibrate-tokens 6000
  runs 0 "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB --calibrate calibration --calibrate-tokens 6000
  mentions err "finished by an earlier call"
  diff -r whole q
  # Refused before the model is run.
  runs 1 "$FRUGAL" quantize "$dense" whole --format int4 --calibrate calibration
  grep calibrating err && die "calibrated first"
  : >empty
  runs 1 "$FRUGAL" quantize "$dense" none --format int4 --calibrate empty
  mentions err "fewer than two tokens"
  absent none
}

# Broken off behind its second file it goes on there; what it writes in the end is the same.
case_quantize_goes_on() {
  make_dense
  runs 0 "$FRUGAL" quantize "$dense" whole --format int4 --shard-size 30KB
  local files
  files=$(ls whole/model-*.safetensors | wc -l)
  [ "$files" -ge 4 ] || die "$files files"
  runs 137 faulty FAULT=kill FAULT_AT=1 FAULT_IN=q.writing/model-00003 -- "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB
  absent q
  [ -s "q.writing/model-00002-of-$(printf %05d "$files").safetensors" ] || die "the second file is not there"
  # A fault while it goes on loses nothing that was finished.
  runs 1 faulty FAULT=full FAULT_AT=1 FAULT_IN=q.writing/model-00003 -- "$FRUGAL" quantize "$dense" q --format int4 --shard-size 30KB
  mentions err "No space left|q.writing/model-00003"
  # The same source by another path.
  runs 0 "$FRUGAL" quantize "$dense/./" q --format int4 --shard-size 30KB --verify
  mentions err "2 of $files files were finished by an earlier call|every checksum holds"
  diff -r whole q
  absent q.writing
  # Files that are cut between matrices of one weight could not be run as they lie.
  "$FRUGAL" generate q "Question: What" -n 12 --ignore-eos --json >sharded 2>err || { cat err; die "a sharded directory"; }
  runs 0 "$FRUGAL" quantize "$dense" one --format int4
  "$FRUGAL" generate one "Question: What" -n 12 --ignore-eos --json >single 2>err
  same sharded single
  # Other options start anew.
  runs 137 faulty FAULT=kill FAULT_AT=1 FAULT_IN=q8.writing/model-00003 -- "$FRUGAL" quantize "$dense" q8 --format int4 --shard-size 30KB
  runs 0 "$FRUGAL" quantize "$dense" q8 --format int8 --shard-size 30KB
  grep "finished by an earlier call" err && die "took over files of another format"
  runs 0 "$FRUGAL" quantize "$dense" whole8 --format int8 --shard-size 30KB
  diff -r whole8 q8
}

# cut_while_running OPTIONS...: cuts the model's file while it runs; sets status.
cut_while_running() {
  local pid
  rm -rf q tokens
  runs 0 "$FRUGAL" quantize "$dense" q --format int4
  status=0
  "$FRUGAL" generate q "Question: What" -n 100 --ignore-eos --json "$@" >tokens 2>err &
  pid=$!
  while [ ! -s tokens ]; do kill -0 $pid 2>/dev/null || break; done
  kill -STOP $pid 2>/dev/null || true
  truncate -s 4096 q/model.safetensors
  kill -CONT $pid 2>/dev/null || true
  wait $pid || status=$?
}

# A model in memory of the process's own does not mind; one in a mapped file ends with a sentence.
case_model_cut_short() {
  local status
  make_dense
  cut_while_running
  [ $status = 0 ] && [ "$(wc -l <tokens)" = 100 ] || { cat err; die "exit status $status"; }
  cut_while_running --mmap
  # It may have ended before; then it has all its tokens.
  [ $status = 0 ] && [ "$(wc -l <tokens)" = 100 ] && return 0
  [ $status = 1 ] || { cat err; die "exit status $status"; }
  mentions err "q/model.safetensors: cannot be read any more"
}

case_doctor() {
  runs 0 "$FRUGAL" doctor --threads 1
  mentions out "processor|level|reads|products|GB/s"
  runs 0 "$FRUGAL" doctor --threads 1 --json
  mentions out '"read_bytes_per_second"|"advice"|"level"'
}

shape="hidden_size=64 intermediate_size=96 moe_intermediate_size=32 num_hidden_layers=2 vocab_size=300 n_routed_experts=8
num_experts_per_tok=2 num_attention_heads=4 kv_lora_rank=32 q_lora_rank=24 max_position_embeddings=256"

case_synth_same_bytes() {
  local format
  for format in f32 bf16 fp8 int8 int4; do
    runs 0 "$FRUGAL" synth nano $format $shape --format $format --threads 1
    runs 0 "$FRUGAL" synth nano again $shape --format $format --threads 3
    diff -r $format again
    runs 0 "$FRUGAL" inspect $format --verify
    rm -r again
  done
  # Another seed is another model, a config.json the same one.
  runs 0 "$FRUGAL" synth int4/config.json again --format int4
  diff -r int4 again
  runs 0 "$FRUGAL" synth nano other $shape --format int4 --seed 2
  ! cmp -s int4/model.safetensors other/model.safetensors || die "the seed changes nothing"
  runs 1 "$FRUGAL" synth nano other $shape --format int4
  mentions err "exists already"
  runs 1 "$FRUGAL" synth nowhere made
  mentions err "nowhere"
}

case_bench_model() {
  runs 0 "$FRUGAL" synth nano m $shape --format int4
  runs 0 "$FRUGAL" bench m --pp 32 --tg 4 --depth 0,40 --batch 1,3 --repeats 2 --threads 1 --json
  [ "$(wc -l <out)" = 5 ] || { cat out; die "not five tests"; }
  local name
  for name in pp32 tg4 tg4@d40 tg4@b3 tg4@d40@b3; do mentions out "\"test\":\"$name\""; done
  mentions out "avg_ts|stddev_ts|bytes_per_token|share_of_limit|floor_seconds_per_token"
  runs 0 "$FRUGAL" bench m --pp 0 --tg 4 --profile --threads 1
  mentions out "of limit|products experts gate_up"
  runs 1 "$FRUGAL" bench m --pp 0 --depth 400
  mentions err "tg64@d400|256"
  runs 1 "$FRUGAL" bench nowhere
  mentions err "nowhere"
}
