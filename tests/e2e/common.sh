# Sourced by run.sh. A case is a function case_NAME, run in a directory of its own under `set -eu`: the first command
# that fails ends it. What it prints is shown only if it fails; `skip REASON` ends it as skipped.

golden=$(dirname "$here")/golden
export LC_ALL=C
work=$(mktemp -d "${TMPDIR:-/tmp}/frugal-e2e.XXXXXX") || exit 1
mounted=$work/small_disk
cleanup() {
  if mountpoint -q "$mounted" 2>/dev/null; then umount "$mounted"; fi
  if [ -n "${FRUGAL_E2E_KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

passed=0 skipped=0 failures=()

run_case() {
  local name=$1 log=$work/$1.log status
  mkdir -p "$work/$name"
  (
    cd "$work/$name"
    set -eu
    "case_$name"
  ) >"$log" 2>&1
  status=$?
  case $status in
    0) passed=$((passed + 1)); echo "ok      $name" ;;
    77) skipped=$((skipped + 1)); echo "skipped $name: $(tail -n 1 "$log")" ;;
    *) failures+=("$name"); echo "FAILED  $name"; tail -n 25 "$log" | cut -c 1-400 | sed 's/^/        /' ;;
  esac
}
skip() { echo "$*"; exit 77; }
die() { echo "$*"; exit 1; }

# A model of 47 thousand parameters with every part of the architecture: dense and MoE layers, groups, MTP.
model="hidden_size=32 num_hidden_layers=2 first_k_dense_replace=1 intermediate_size=48 num_attention_heads=2
n_routed_experts=4 num_experts_per_tok=2 n_group=2 topk_group=1 moe_intermediate_size=16 qk_nope_head_dim=8
qk_rope_head_dim=4 v_head_dim=8 kv_lora_rank=8 q_lora_rank=8 vocab_size=300 max_position_embeddings=64
sequence_length=32 batch=4 eval_every=0 sample_every=0 threads=1"

# train ARG...: a run of that model on the common tasks; later settings win. Say data= and out= as well.
tasks=$work/tasks.jsonl
train() { "$FRUGAL" train nano $model data="$tasks" "$@"; }

# $base: a finished run of 100 steps that cases copy from and never change; $checkpoint: its model directory.
base=$work/base checkpoint=$work/base/checkpoints/step-00000100
make_fixtures() {
  "$FRUGAL" data course --documents 1000 --out "$tasks" >/dev/null 2>&1 &&
    train out="$base" steps=100 save_every=50 warmup_steps=5 learning_rate=5e-3 eval_every=50 sample_every=50 \
      sample_tokens=8 >"$work/base.log" 2>&1 && [ -d "$checkpoint" ] || { cat "$work/base.log"; return 1; }
}

# wait_for PID PATH: until it exists; fails if the process ends before.
wait_for() {
  while [ ! -e "$2" ]; do
    kill -0 "$1" 2>/dev/null || { cat err; die "the run ended before $2 existed"; }
    sleep 0.01
  done
}

# runs STATUS COMMAND...: the command must end with that exit status; its output lies in ./out and ./err.
runs() {
  local expected=$1 status=0
  shift
  "$@" >out 2>err </dev/null || status=$?
  [ $status = "$expected" ] && return 0
  echo "exit status $status, expected $expected: $*"
  cat err
  return 1
}

# refuses STATUS WORDS COMMAND...: ends with that status, prints nothing on stdout and exactly one line on stderr,
# `frugal: ...`, that holds every one of WORDS (separated by |).
refuses() {
  local words=$2
  runs "$1" "${@:3}"
  [ ! -s out ] || die "prints on stdout: ${*:3}"
  [ "$(wc -l <err)" = 1 ] && grep -q '^frugal: ' err || { echo "not one line 'frugal: ...': ${*:3}"; cat err; exit 1; }
  mentions err "$words"
}
# mentions FILE WORDS: the file holds every one of WORDS (separated by |).
mentions() {
  local word words
  IFS='|' read -ra words <<<"$2"
  for word in "${words[@]}"; do grep -qF -e "$word" "$1" || { echo "no '$word' in:"; cat "$1"; exit 1; }; done
}

same() { cmp "$1" "$2"; }
differ() { ! cmp -s "$1" "$2" || die "$1 and $2 are equal"; }
absent() { local f; for f in "$@"; do [ ! -e "$f" ] || die "$f was written"; done; }

# Names and bytes of everything in a directory.
fingerprint() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 cksum); }

# same_checkpoint A B: every file, weights and trainer state, bit for bit.
same_checkpoint() { diff -r "$1" "$2"; }

# The same where runs differ in what they call their data: the card names it.
same_training() { diff -r -x README.md -x manifest.json "$1" "$2"; }

# flip FILE OFFSET [MASK]: changes the bits of MASK (default 1) in one byte.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf "\\x$(printf %02x $((byte ^ ${3:-1})))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
size_of() { wc -c <"$1" | tr -d ' '; }
truncate_by() { head -c $(($(size_of "$1") - $2)) "$1" >"$1.short" && mv "$1.short" "$1"; }

# safetensors FILE HEADER BYTES: header length, header, so many zero bytes of data.
safetensors() {
  local n=${#2} i
  { for i in 0 8 16 24 32 40 48 56; do printf "\\x$(printf %02x $(((n >> i) & 255)))"; done
    printf %s "$2"; head -c "$3" /dev/zero; } >"$1"
}

# The levels that this machine runs.
levels() {
  local level
  for level in scalar avx2 avx512; do
    if FRUGAL_ISA=$level "$FRUGAL" verify --signature --threads 1 >/dev/null 2>&1; then echo $level; fi
  done
}

# Steps, in the log's order; the same with the numbers that must not depend on anything.
log_steps() { grep '"loss"' "$1/log.jsonl" | sed 's/.*"step":\([0-9]*\).*/\1/'; }
log_values() { sed -E 's/"(seconds|tokens_per_second|peak_share)":[^,}]*//g' "$1/log.jsonl"; }
