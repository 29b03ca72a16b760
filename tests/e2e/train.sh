# Training, resumption, tokenizer and verification.
cases=(help usage run_directory dry_run same_bits_threads same_bits_levels resume_after_kill damaged_checkpoint
  no_checkpoint_left changed_data existing_run tokenizer_round_trip data_course verify_passes verify_finds_damage bench_floor)

case_help() {
  local command
  runs 0 "$FRUGAL" --help
  mentions out "train|generate|tokenizer|data|verify"
  for command in train report generate chat eval demo bench verify inspect convert tokenizer "tokenizer train" "tokenizer encode" "tokenizer decode" data "data course" "data build" "data show"; do
    runs 0 "$FRUGAL" $command --help
    [ -s out ] && [ ! -s err ] || die "$command --help prints nothing, or on stderr"
  done
  runs 0 "$FRUGAL" train --help
  mentions out "Presets:|nano|hidden_size|save_every"
  runs 0 "$FRUGAL" --version
}

case_usage() {
  refuses 2 "subcommand" "$FRUGAL"
  refuses 2 "trian" "$FRUGAL" trian
  refuses 2 "--bogus" "$FRUGAL" --bogus
  local command
  for command in train generate verify tokenizer "tokenizer encode" data "data course" "data build" "data show"; do
    refuses 2 "--bogus" "$FRUGAL" $command --bogus
  done
  refuses 2 "bogus" "$FRUGAL" tokenizer bogus
  refuses 2 "model" "$FRUGAL" generate
  refuses 2 "recipe" "$FRUGAL" train
  refuses 2 "--out" "$FRUGAL" data course
  refuses 2 "DIR" "$FRUGAL" verify
  refuses 2 "--threads" "$FRUGAL" generate "$base" a --threads -1
  refuses 2 "--seed|-1" "$FRUGAL" generate "$base" a --seed -1
  [ "$(size_of err)" -lt 600 ] || die "a long message"
  refuses 2 "--temperature|warm" "$FRUGAL" generate "$base" a --temperature warm
}

case_run_directory() {
  local file step
  for file in recipe.toml log.jsonl receipt.json tokenizer/tokenizer.json tokenizer/tokenizer_config.json \
    samples/step-00000050.txt; do
    [ -s "$base/$file" ] || die "no $file"
  done
  for step in 00000050 00000100; do
    for file in config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json trainer/state.json \
      trainer/manifest.json trainer/masters.safetensors trainer/exp_avg.safetensors trainer/exp_avg_sq.safetensors; do
      [ -s "$base/checkpoints/step-$step/$file" ] || die "no step-$step/$file"
    done
  done
  [ "$(ls -A "$base/checkpoints" | wc -l)" = 2 ] || die "something else in checkpoints/"
  [ -z "$(find "$base" -name '*.tmp')" ] || die "a temporary file was left"
  same "$base/tokenizer/tokenizer.json" "$checkpoint/tokenizer.json"
  mentions "$base/recipe.toml" "steps = 100|hidden_size = 32|learning_rate = 0.005"
  diff <(log_steps "$base") <(seq 100)
  [ "$(grep -c val_bits_per_byte "$base/log.jsonl")" = 2 ] || die "not 2 validations"
  # The mean loss of the last ten steps against that of the first.
  grep '"loss"' "$base/log.jsonl" | sed 's/.*"loss":\([0-9.e+-]*\).*/\1/' >losses
  awk '{ if (NR <= 10) a += $1; if (NR > 90) b += $1 } END { print a / 10, b / 10; exit !(b < a - 10) }' losses
}

case_dry_run() {
  runs 0 train out=run --dry-run
  mentions out "parameters|memory|gradients|MFLOP per token|B per checkpoint|tok/s|estimated|hidden_size = 32"
  absent run
  runs 1 train out=run --dry-run batch=16777216 sequence_length=64 microbatch=0
  mentions err "frugal: training: needs|GiB|are free|lower batch"
}

# same_state A B: the final weights and the whole trainer state.
same_state() {
  local file
  for file in model.safetensors trainer/masters.safetensors trainer/exp_avg.safetensors trainer/exp_avg_sq.safetensors; do
    same "$1/checkpoints/step-00000012/$file" "$2/checkpoints/step-00000012/$file"
  done
}
case_same_bits_threads() {
  local n
  for n in 1 2 3 7 64; do runs 0 train out=run$n steps=12 threads=$n; done
  for n in 2 3 7 64; do same_state run1 run$n; done
  # ... and the comparison can see a difference.
  runs 0 train out=other steps=12 seed=2
  differ run1/checkpoints/step-00000012/model.safetensors other/checkpoints/step-00000012/model.safetensors
}
case_same_bits_levels() {
  local level first=
  for level in $(levels); do
    runs 0 env FRUGAL_ISA=$level "$FRUGAL" train nano $model data="$tasks" out=$level steps=12
    mentions $level/receipt.json "\"level\": \"$level"
    [ -z "$first" ] || same_state "$first" $level
    first=${first:-$level}
  done
  [ -n "$first" ] || die "no level runs here"
}

case_resume_after_kill() {
  local settings="steps=400 save_every=40 keep_checkpoints=20 eval_every=100" pid at
  runs 0 train out=whole $settings
  train out=killed $settings >out 2>err &
  pid=$!
  wait_for $pid killed/checkpoints/step-00000040
  kill_hard $pid
  for at in 00000120 00000240; do
    [ ! -e killed/checkpoints/step-$at ] || continue
    "$FRUGAL" train --resume killed >out 2>err &
    pid=$!
    wait_for $pid killed/checkpoints/step-$at
    kill_hard $pid
    mentions err "resumed killed/checkpoints/step-"
  done
  [ ! -e killed/checkpoints/step-00000400 ] || die "the kill came too late"
  # As a kill in the middle of a line and of a checkpoint leaves them.
  printf '{"step":399,"lo' >>killed/log.jsonl
  mkdir -p killed/checkpoints/.writing/trainer && echo rubbish >killed/checkpoints/.writing/config.json
  runs 0 "$FRUGAL" train --resume killed
  same_checkpoint whole/checkpoints/step-00000400 killed/checkpoints/step-00000400
  same_checkpoint whole/checkpoints/step-00000240 killed/checkpoints/step-00000240
  diff <(log_steps killed) <(seq 400)
  diff <(log_values whole) <(log_values killed)
  absent killed/checkpoints/.writing
  # A finished run can be resumed and has nothing to do.
  fingerprint killed >before
  runs 0 "$FRUGAL" train --resume killed
  fingerprint killed | diff before -
}
# train is a function, so that its background job is a shell with the program as a child.
kill_hard() {
  local children
  children=$(cat /proc/"$1"/task/"$1"/children 2>/dev/null || true)
  kill -9 "$1" $children 2>/dev/null || true  # it may have ended by itself
  wait "$1" 2>/dev/null || true
}

case_damaged_checkpoint() {
  local newest=run/checkpoints/step-00000100 kind
  for kind in weights state truncated missing manifest; do
    rm -rf run
    cp -r "$base" run
    case $kind in
      weights) flip $newest/model.safetensors $(($(size_of $newest/model.safetensors) / 2)) ;;
      state) flip $newest/trainer/exp_avg.safetensors $(($(size_of $newest/trainer/exp_avg.safetensors) - 3)) 64 ;;
      truncated) truncate_by $newest/trainer/masters.safetensors 1 ;;
      missing) rm $newest/trainer/exp_avg_sq.safetensors ;;
      manifest) truncate_by $newest/trainer/manifest.json 20 ;;
    esac
    runs 0 "$FRUGAL" train --resume run
    grep step-00000100 err | grep -q 'damaged and skipped' || { cat err; die "does not name the damaged checkpoint ($kind)"; }
    mentions err "resumed run/checkpoints/step-00000050"
    same_checkpoint "$checkpoint" $newest
    diff <(log_steps run) <(seq 100)
    diff <(log_values "$base") <(log_values run)
  done
}
case_no_checkpoint_left() {
  cp -r "$base" run
  flip run/checkpoints/step-00000050/config.json 10
  flip run/checkpoints/step-00000100/config.json 10
  fingerprint run >before
  runs 1 "$FRUGAL" train --resume run
  mentions err "step-00000050 is damaged|step-00000100 is damaged|holds no complete checkpoint"
  fingerprint run | diff before -
}
case_changed_data() {
  cp -r "$base" run
  fingerprint run >before
  "$FRUGAL" data course --documents 900 --seed 7 --out other.jsonl 2>/dev/null
  runs 1 "$FRUGAL" train --resume run data=other.jsonl
  mentions err "frugal: run: the data"
  runs 1 "$FRUGAL" train --resume run steps=20
  mentions err "frugal: run: has done 100 steps already"
  fingerprint run | diff before -
  refuses 1 "nowhere|not a run directory" "$FRUGAL" train --resume nowhere
}

case_existing_run() {
  fingerprint "$base" >before
  refuses 1 "$base|already holds a run|--resume" train out="$base" steps=3
  fingerprint "$base" | diff before -
}

case_tokenizer_round_trip() {
  local text='Grüße, 12345 – 東京 🙂  two  spaces
and a line'
  printf '%s\n' "the cat sat on the mat, the dog sat on the log" "the number 12345 and the number 12346" >text
  runs 0 "$FRUGAL" tokenizer train text "$tasks" --vocab-size 320 --out tok
  mentions out "tok/tokenizer.json|320 tokens"
  printf %s "$text" >text
  "$FRUGAL" tokenizer encode tok <text >ids
  "$FRUGAL" tokenizer decode tok <ids >back
  same text back
  "$FRUGAL" tokenizer encode tok "$text" | same ids -
  "$FRUGAL" tokenizer decode tok $(cat ids) | same text -
  "$FRUGAL" tokenizer encode tok --json <text >json
  mentions json '{"ids": [|"count": '"$(wc -w <ids)"
  # Control characters come back too.
  printf '\000\001\177abc' >bytes
  "$FRUGAL" tokenizer encode tok <bytes | "$FRUGAL" tokenizer decode tok | same bytes -
  # The same text gives the same file, whatever it lies in and however many threads read it; a tokenizer that is there stays.
  mkdir -p texts/deep
  cp "$tasks" texts/deep/tasks.jsonl
  "$FRUGAL" tokenizer train "$tasks" --vocab-size 320 --out a -t 1 >/dev/null
  "$FRUGAL" tokenizer train texts --vocab-size 320 --out b -t 3 >/dev/null
  diff -r a b
  refuses 2 "--memory" "$FRUGAL" tokenizer train "$tasks" --vocab-size 320 --out c --memory 1
  refuses 1 "tok/tokenizer.json|exists already" "$FRUGAL" tokenizer train "$tasks" --vocab-size 300 --out tok
  refuses 1 "99999|not in the vocabulary" "$FRUGAL" tokenizer decode tok 99999
  refuses 1 "12x|not a token id" "$FRUGAL" tokenizer decode tok 12x
}

case_data_course() {
  "$FRUGAL" data course --documents 50 --out a.jsonl 2>/dev/null
  "$FRUGAL" data course --documents 50 --out b.jsonl 2>/dev/null
  "$FRUGAL" data course --documents 50 --seed 2 --out c.jsonl 2>/dev/null
  same a.jsonl b.jsonl
  differ a.jsonl c.jsonl
  [ "$(grep -c '^{"messages":\[{"role":"user"' a.jsonl)" = 50 ] || die "not 50 documents"
  refuses 1 "a.jsonl|exists already" "$FRUGAL" data course --documents 50 --seed 3 --out a.jsonl
  same a.jsonl b.jsonl
}

case_verify_passes() {
  runs 0 "$FRUGAL" verify "$golden/o_tied" --threads 1
  mentions out "pass logits|pass grad.model.embed_tokens.weight|PASS"
  runs 0 "$FRUGAL" verify "$golden/o_tied" --threads 2 --json
  if grep -vq '^{.*}$' out; then cat out; die "a line is not a JSON object"; fi
}

# offset_in FILE TENSOR: where its data begins.
offset_in() {
  local header begin
  header=$(od -An -tu8 -N 8 "$1")
  begin=$(head -c $((8 + header)) "$1" | tr '\0' ' ' | grep -oaE "\"$2\":\{[^}]*\"data_offsets\":\[[0-9]+" | sed 's/.*\[//')
  [ -n "$begin" ] || die "no tensor $2 in $1"
  echo $((8 + header + begin))
}
# verify_fails WORDS: the copy in ./case must fail and say where.
verify_fails() {
  runs 1 "$FRUGAL" verify case --threads 1 --quiet
  cat out err >all
  mentions all "case|$1"
}
case_verify_finds_damage() {
  local tensor at
  for tensor in logits nll grad.model.layers.1.mlp.experts.0.down_proj.weight; do
    rm -rf case
    cp -r "$golden/o_tied" case
    at=$(offset_in case/golden.safetensors "$tensor")
    flip case/golden.safetensors $((at + 3)) 64  # the exponent of its first value
    verify_fails "$tensor"
  done
  rm -rf case
  cp -r "$golden/o_tied" case
  truncate_by case/model.safetensors 100
  verify_fails "model.safetensors"
  cp "$golden/o_tied/model.safetensors" case
  truncate_by case/golden.safetensors 100
  verify_fails "golden.safetensors"
  # A damaged case does not hide behind a good one.
  mkdir both && cp -r "$golden/o_tied" both/good && mv case both/bad
  runs 1 "$FRUGAL" verify both --threads 1 --quiet
  cat out err >all
  mentions all "both/bad|1/2"
}

case_bench_floor() {
  runs 0 "$FRUGAL" bench --floor nano $model --steps 2
  mentions out "products|weight gradients|attention backward|AdamW|everything else|of the floor"
  runs 0 "$FRUGAL" bench --floor nano $model --steps 1 --profile --trace time.json
  mentions out "weight gradients lm_head|row operations swiglu|time.json"
  grep -q '"traceEvents"' time.json && grep -q '"dur"' time.json || die "no time line"
  refuses 1 "--floor" "$FRUGAL" bench nano
  refuses 2 "--trace" "$FRUGAL" bench --trace time.json
  refuses 1 "nowhere" "$FRUGAL" bench --floor nano $model --steps 1 --trace nowhere/time.json
  refuses 1 "nowhere.toml" "$FRUGAL" bench --floor nowhere.toml
  refuses 1 "hidden_size" "$FRUGAL" bench --floor nano hidden_size=0
}
