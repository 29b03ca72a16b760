# What goes wrong around a run: killed anywhere, disks that fill, fail or hang, damage, a second trainer, a stopped
# process, bad batches. Every case compares what the resumed run leaves with an uninterrupted run, byte for byte.
# FRUGAL_FULL=1: many more moments, and a longer stop.
cases=(kill_in_save kill_at_any_time full_disk_anywhere damaged_files read_only_directory two_trainers
  stopped_process slow_disk changed_file spike_stops spike_skipped not_finite moved_away)

full=${FRUGAL_FULL:-0}
shim=$(dirname "$FRUGAL")/libfrugal_faults.so

# faulty NAME=VALUE... -- COMMAND...: with the faults of faults.cc.
faulty() {
  local settings=()
  while [ "$1" != -- ]; do settings+=("$1"); shift; done
  shift
  env LD_PRELOAD="$shim" "${settings[@]}" "$@"
}

# $whole: 12 steps with checkpoints after 4, 8 and 12, never changed. fresh NAME: the same, as it was after step 4.
whole=$work/whole
make_whole() {
  [ -d "$whole" ] || train out="$whole" steps=12 save_every=4 keep_checkpoints=9 eval_every=4 warmup_steps=2 2>/dev/null
}
fresh() {
  rm -rf "$1"
  cp -r "$whole" "$1"
  rm -rf "$1"/checkpoints/step-00000008 "$1"/checkpoints/step-00000012 "$1"/receipt.json
}
# same_run A B: every byte of all checkpoints, and the log without what depends on time.
same_run() {
  diff -r "$1/checkpoints" "$2/checkpoints"
  diff <(log_values "$1") <(log_values "$2")
}
resumes_to_whole() {
  runs 0 "$FRUGAL" train --resume "$1"
  same_run "$whole" "$1"
}

# Killed before the Nth system call that changes something below checkpoints/: in every phase of a save.
case_kill_in_save() {
  make_whole
  fresh run
  runs 0 faulty FAULT_IN=/checkpoints FAULT_COUNT=count -- "$FRUGAL" train --resume run
  local calls moments=12 i at
  calls=$(cat count)
  [ "$calls" -gt 60 ] || die "only $calls system calls: the faults are not seen"
  [ "$full" = 0 ] || moments=$calls
  [ $moments -le "$calls" ] || moments=$calls
  for i in $(seq $moments); do
    at=$((i * calls / moments))
    fresh run
    runs 137 faulty FAULT=kill FAULT_AT=$at FAULT_IN=/checkpoints -- "$FRUGAL" train --resume run
    resumes_to_whole run || die "after a kill at call $at of $calls"
  done
}

# Killed by the clock, again and again: only kills of a run that is at work count, and a run that gets through is
# compared and begun anew.
case_kill_at_any_time() {
  local settings="steps=200 save_every=10 keep_checkpoints=30 eval_every=50" kills=4 hits=0 pid status
  [ "$full" = 0 ] || kills=110
  runs 0 train out=all $settings
  go_on() {  # $pid: a trainer that continues the run, or starts it where nothing was saved yet
    if [ -n "$(ls run/checkpoints 2>/dev/null)" ]; then
      "$FRUGAL" train --resume run >/dev/null 2>err &
    else
      rm -rf run
      "$FRUGAL" train nano $model data="$tasks" out=run $settings >/dev/null 2>err &
    fi
    pid=$!
  }
  while [ $hits -lt $kills ]; do
    go_on
    sleep "0.$(printf %02d $((RANDOM % 40)))"
    kill -9 $pid 2>/dev/null || true
    status=0
    wait $pid 2>/dev/null || status=$?
    case $status in
      137) hits=$((hits + 1)) ;;
      0) same_run all run; rm -rf run ;;
      *) cat err; die "exit status $status after $hits kills" ;;
    esac
  done
  go_on
  wait $pid || { cat err; die "the run does not get through"; }
  same_run all run
  echo "$hits kills"
}

# No room, and a disk that fails: one sentence, and nothing that was there is lost.
case_full_disk_anywhere() {
  make_whole
  local fault at where
  for fault in full broken; do
    for at in 3 30 60 90; do
      fresh run
      runs 1 faulty FAULT=$fault FAULT_AT=$at FAULT_IN=/checkpoints -- "$FRUGAL" train --resume run
      grep '^frugal: ' err >line
      [ "$(wc -l <line)" = 1 ] || { cat err; die "not one sentence"; }
      mentions line "run/checkpoints/"
      case $fault in full) mentions line "No space left|free disk space" ;; *) mentions line "Input/output error" ;; esac
      resumes_to_whole run
    done
    fresh run
    runs 1 faulty FAULT=$fault FAULT_AT=5 FAULT_IN=run/log.jsonl -- "$FRUGAL" train --resume run
    mentions err "frugal: run/log.jsonl"
    resumes_to_whole run
  done
}

# Every file of the newest checkpoint, a bit flipped or the end cut off.
case_damaged_files() {
  make_whole
  local newest=run/checkpoints/step-00000012 file
  for file in $(cd "$whole/checkpoints/step-00000012" && find . -type f); do
    rm -rf run && cp -r "$whole" run
    flip $newest/$file $(($(size_of $newest/$file) / 2)) 16
    runs 0 "$FRUGAL" train --resume run
    mentions err "step-00000012 is damaged and skipped|resumed run/checkpoints/step-00000008"
    same_run "$whole" run || die "a flipped bit in $file"
    rm -rf run && cp -r "$whole" run
    truncate_by $newest/$file 7
    runs 0 "$FRUGAL" train --resume run
    mentions err "step-00000012 is damaged and skipped|resumed run/checkpoints/step-00000008"
    same_run "$whole" run || die "$file cut off"
  done
  # The tensor is named.
  rm -rf run && cp -r "$whole" run
  flip $newest/trainer/exp_avg.safetensors $(offset_in $newest/trainer/exp_avg.safetensors model.layers.1.self_attn.o_proj.weight)
  runs 0 "$FRUGAL" train --resume run
  mentions err "model.layers.1.self_attn.o_proj.weight in trainer/exp_avg.safetensors"
}

case_read_only_directory() {
  [ "$(id -u)" = 0 ] || skip "only root can mount"
  make_whole
  fresh run
  fingerprint run >before
  mount --bind run run 2>/dev/null && mount -o remount,ro,bind run 2>/dev/null || { umount run 2>/dev/null; skip "this container cannot mount read-only"; }
  local ok=1
  ( runs 1 "$FRUGAL" train --resume run && mentions err "frugal: run/lock|Read-only file system" ) || ok=0
  umount run
  [ $ok = 1 ] || die "not refused"
  fingerprint run | diff before -
  resumes_to_whole run
}

case_two_trainers() {
  make_whole
  fresh run
  faulty FAULT=slow FAULT_AT=1 FAULT_SECONDS=2 FAULT_IN=/checkpoints -- "$FRUGAL" train --resume run 2>first &
  local pid=$! tries=0
  until [ -s run/lock ]; do
    [ $((tries += 1)) -lt 500 ] || die "no lock"
    sleep 0.01
  done
  refuses 1 "run: is in use by $(cat run/lock)|wait until it ends" "$FRUGAL" train --resume run
  wait $pid
  same_run "$whole" run
  [ ! -s run/lock ] || die "the lock still names somebody"
}

# A process that stood still says so, and is not otherwise disturbed.
case_stopped_process() {
  make_whole
  fresh run
  local pid trainer seconds=4
  [ "$full" = 0 ] || seconds=60
  faulty FAULT=slow FAULT_AT=1 FAULT_SECONDS=0.5 FAULT_IN=/checkpoints -- "$FRUGAL" train --resume run watchdog_seconds=2 2>err &
  pid=$!
  until grep -q resumed err; do sleep 0.01; done
  trainer=$(sed 's/process \([0-9]*\) .*/\1/' run/lock)
  kill -STOP "$trainer"
  sleep $seconds
  kill -CONT "$trainer"
  wait $pid
  mentions err "run: this process stood still for"
  same_run "$whole" run
}

case_slow_disk() {
  make_whole
  fresh run
  runs 0 faulty FAULT=slow FAULT_AT=60 FAULT_SECONDS=1.5 FAULT_IN=/checkpoints -- "$FRUGAL" train --resume run watchdog_seconds=0.4
  mentions err "run: writing a checkpoint|and is not finished|has ended after"
  same_run "$whole" run
  fresh run
  runs 0 faulty FAULT=slow FAULT_AT=6 FAULT_SECONDS=1.5 FAULT_IN=run/log.jsonl -- "$FRUGAL" train --resume run watchdog_seconds=0.4
  mentions err "run: writing log.jsonl has taken"
  same_run "$whole" run
}

case_changed_file() {
  cp "$tasks" mine.jsonl
  runs 0 train data=mine.jsonl out=run steps=8 save_every=4
  cp -r run one
  rm -rf one/checkpoints/step-00000008
  echo '{"text": "one more document"}' >>mine.jsonl
  fingerprint one >before
  runs 1 "$FRUGAL" train --resume one
  mentions err "frugal: one: the data differ from those the run started with: $PWD/mine.jsonl"
  fingerprint one | diff before -
  cp "$tasks" mine.jsonl
  runs 0 "$FRUGAL" train --resume one
  same_run run one
}

# Lines that are learnt at once, and now and then one that is not.
spiky_data() {
  local i
  for i in $(seq 1200); do
    [ $((i % 150)) != 149 ] || printf '{"text": "%s"}\n' "$(sha512sum <<<"$i" | head -c 110)"
    printf '{"text": "the same line, the same line, the same line, line %d"}\n' "$i"
  done >spiky.jsonl
}
spiky="steps=260 save_every=50 keep_checkpoints=20 learning_rate=5e-3 warmup_steps=5 spike_threshold=2"
case_spike_stops() {
  spiky_data
  runs 1 train data=spiky.jsonl out=run $spiky
  grep '^frugal: ' err >line
  mentions line "frugal: step |a spike|running mean|the largest gradient is |last good checkpoint is run/checkpoints/step-|on_spike=skip"
  # The state before the batch was saved; leaving it out goes on from there.
  runs 0 "$FRUGAL" train --resume run on_spike=skip
  diff <(log_steps run) <(seq 260)
  mentions run/log.jsonl '"skipped":'
  runs 0 train data=spiky.jsonl out=skipping $spiky on_spike=skip
  same_checkpoint skipping/checkpoints/step-00000260 run/checkpoints/step-00000260
  diff <(log_values skipping) <(log_values run)
}
case_spike_skipped() {
  spiky_data
  runs 0 train data=spiky.jsonl out=all $spiky on_spike=skip
  mentions err "the batch is left out"
  mentions all/receipt.json '"skipped_batches": '
  diff <(log_steps all) <(seq 260)
  # Killed in the middle and resumed: the same batches are left out.
  local pid
  train data=spiky.jsonl out=run $spiky on_spike=skip 2>err &
  pid=$!
  wait_for $pid run/checkpoints/step-00000150
  kill_hard $pid
  runs 0 "$FRUGAL" train --resume run
  same_run all run
}

case_not_finite() {
  runs 1 train out=run steps=60 save_every=5 keep_checkpoints=20 learning_rate=10 weight_decay=10 warmup_steps=0 max_grad_norm=0
  grep '^frugal: ' err >line
  [ "$(wc -l <line)" = 1 ] || { cat err; die "not one sentence"; }
  mentions line "not finite|checkpoint"
  # What was saved can be used.
  runs 0 "$FRUGAL" generate run a -n 2
}

# Relative paths mean what they meant where the run began.
case_moved_away() {
  cp "$tasks" mine.jsonl
  "$FRUGAL" train nano $model data=mine.jsonl out=run steps=8 save_every=4 2>/dev/null
  cp -r run one
  rm -rf one/checkpoints/step-00000008
  mkdir elsewhere
  (cd elsewhere && runs 0 "$FRUGAL" train --resume ../one)
  same_run run one
}
