# Runs that are killed and resumed end exactly as runs that were not.

slow=(steps=120 save_every=10 batch=8 sequence_length=64 eval_every=30 keep_checkpoints=100)

# The uninterrupted run, made once by the first case that asks.
reference_run() {
  [ -d "$work/reference" ] || train "$work/reference" "${slow[@]}"
}

# start_and_kill STEP COMMAND...: SIGKILLs the command as soon as run r holds the checkpoint of STEP.
start_and_kill() {
  local step=$1 pid tries=0
  shift
  "$frugal" "$@" >/dev/null 2>killed.log &
  pid=$!
  until [ -d "$(checkpoint r "$step")" ]; do
    kill -0 $pid 2>/dev/null || die "ended before step $step: $(tail -2 killed.log)"
    [ $((tries += 1)) -lt 6000 ] || die "no checkpoint of step $step in a minute"
    sleep 0.005
  done
  kill -KILL $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  absent r/receipt.json
}

killed_run() { start_and_kill 30 train nano "${tiny[@]}" "${slow[@]}" data="$work/tasks.jsonl" out=r threads=2; }

resumes_as_uninterrupted() {
  frugal train --resume r "$@" 2>resume.log || die "resume: $(cat resume.log)"
  has '^resumed r/checkpoints/step-' resume.log
  equals_reference
}
equals_reference() {
  same_tree "$(checkpoint "$work/reference" 120)" "$(checkpoint r 120)"
  diff <(log_without_time "$work/reference") <(log_without_time r) || die "the logs differ"
  [ "$(step_numbers r)" = "$(seq 120)" ] || die "the log does not hold each step once"
}

test_killed_and_resumed() {
  reference_run
  killed_run
  start_and_kill 70 train --resume r threads=1
  resumes_as_uninterrupted threads=3
}

# What a kill can leave behind: half a checkpoint, half a line, temporary files.
test_leftovers_of_a_kill() {
  reference_run
  killed_run
  mkdir -p r/checkpoints/.writing/trainer
  echo rubbish >r/checkpoints/.writing/model.safetensors
  printf '{"step":31,"lo' >>r/log.jsonl
  echo rubbish >r/recipe.toml.tmp
  resumes_as_uninterrupted
  absent r/checkpoints/.writing
}

# damaged FILE: the newest checkpoint's FILE has one wrong bit or is cut; the one before is used and named.
damaged_checkpoint() {
  local newest
  reference_run
  killed_run
  newest=$(ls -d r/checkpoints/step-* | tail -1)
  "$@" "$newest"
  fails_late_or_ok frugal train --resume r
  has "^warning: $newest is damaged and skipped" stderr
  ! grep -q "resumed $newest " stderr || die "resumed from the damaged checkpoint"
  equals_reference
}
fails_late_or_ok() { "$@" 2>stderr || die "$*: $(cat stderr)"; }

test_bit_flipped_model() { flip_model() { flip "$1/model.safetensors" -1000; }; damaged_checkpoint flip_model; }
test_bit_flipped_moments() { flip_moments() { flip "$1/trainer/exp_avg_sq.safetensors" -1; }; damaged_checkpoint flip_moments; }
test_truncated_masters() { cut_masters() { truncate -s -100 "$1/trainer/masters.safetensors"; }; damaged_checkpoint cut_masters; }
test_missing_state() { remove_state() { rm "$1/trainer/state.json"; }; damaged_checkpoint remove_state; }
test_manifest_is_rubbish() { spoil() { echo '{"xxh3_64": [' >"$1/trainer/manifest.json"; }; damaged_checkpoint spoil; }

test_damaged_checkpoint_and_generate() {
  train r steps=4 save_every=2
  frugal generate "$(checkpoint r 2)" Question --json -n 5 >older 2>/dev/null
  flip "$(checkpoint r 4)/model.safetensors" -1000
  frugal generate r Question --json -n 5 >out 2>stderr
  has 'warning: .*step-00000004 is damaged' stderr
  same older out
}

test_no_checkpoint_is_left() {
  train r steps=2
  flip "$(checkpoint r 2)/config.json" 5
  fails_late 1 'r: holds no complete checkpoint' frugal train --resume r
  fails_late 1 'r: holds no complete checkpoint' frugal generate r x
}

test_resume_refuses_other_settings() {
  train r steps=4
  cp "$work/tasks.jsonl" .
  local before
  before=$(hash_tree r)
  fails 1 'nowhere: is not a run directory' frugal train --resume nowhere
  fails_late 1 'r: has done 4 steps already' frugal train --resume r steps=3
  fails_late 1 'hold.*expected|checkpoint belongs to another model|expected F32' frugal train --resume r steps=8 hidden_size=48
  fails_late 1 'the data, the sequence length or the seed differ' frugal train --resume r steps=8 seed=9
  tail -n +2 tasks.jsonl >other.jsonl
  fails_late 1 'the data, the sequence length or the seed differ' frugal train --resume r steps=8 data=other.jsonl
  fails 1 'nonsense: is not key=value' frugal train --resume r nonsense
  [ "$before" = "$(hash_tree r)" ] || die "refused commands changed the run"
}

test_resume_extends_a_run() {
  train r steps=4
  frugal train --resume r steps=7 2>/dev/null
  [ "$(step_numbers r)" = "$(seq 7)" ] || die "log: $(cat r/log.jsonl)"
  [ -d "$(checkpoint r 7)" ] || die "no checkpoint of step 7"
  has '^steps = 7$' r/recipe.toml
  # A finished run resumed is finished still.
  local before
  before=$(hash_tree r/checkpoints)
  frugal train --resume r 2>/dev/null
  [ "$before" = "$(hash_tree r/checkpoints)" ] || die "a finished run was changed"
}
