# Generation from the model that the fixtures trained.
cases=(seeds greedy json json_same_bits attention_forms stop_text standard_input precision lengths sampling_ranges latent_cache)

generate() { "$FRUGAL" generate "$base" "$@"; }

case_seeds() {
  generate "Question: " -n 24 --seed 5 >a 2>err
  generate "Question: " -n 24 --seed 5 >b 2>/dev/null
  generate "Question: " -n 24 --seed 6 >c 2>/dev/null
  same a b
  differ a c
  mentions a "Question: "
  mentions err "prompt|generated"
  # A run directory stands for its newest checkpoint.
  "$FRUGAL" generate "$checkpoint" "Question: " -n 24 --seed 5 2>/dev/null | same a -
  generate "Question: " -n 24 --seed 5 --quiet 2>/dev/null >q
  { printf 'Question: '; cat q; } | same a -
}

case_greedy() {
  generate "What " -n 24 --temperature 0 --seed 1 >a 2>/dev/null
  generate "What " -n 24 --temperature 0 --seed 2 >b 2>/dev/null
  same a b
  generate "What " -n 24 --top-k 1 --seed 3 2>/dev/null | same a -
}

case_json() {
  generate "What " -n 12 --ignore-eos --json >a 2>/dev/null
  [ "$(grep -cE '^\{"token": [0-9]+, "logprob": -[0-9.e-]+\}$' a)" = 12 ] && [ "$(wc -l <a)" = 12 ] || { cat a; die "not 12 objects"; }
}

case_json_same_bits() {
  local n level
  for n in 1 2 3; do generate "Question: " -n 40 --ignore-eos --json --threads $n >threads$n 2>/dev/null; done
  same threads1 threads2
  same threads1 threads3
  for level in $(levels); do
    FRUGAL_ISA=$level generate "Question: " -n 40 --ignore-eos --json >$level 2>/dev/null
    same threads1 $level
  done
}

case_attention_forms() {
  generate "Question: How " -n 30 --ignore-eos --json --attention expanded >expanded 2>/dev/null
  generate "Question: How " -n 30 --ignore-eos --json --attention absorbed >absorbed 2>/dev/null
  generate "Question: How " -n 30 --ignore-eos --json --attention absorbed >again 2>/dev/null
  [ "$(wc -l <absorbed)" = 30 ] || die "not 30 tokens"
  same absorbed again
  # The first token comes from the prompt's own pass, which has one form.
  diff <(head -n 1 expanded) <(head -n 1 absorbed)
  refuses 1 "--attention|folded|expanded or absorbed" "$FRUGAL" generate "$base" a --attention folded
}

case_stop_text() {
  local stop whole
  # A stop text of two characters out of the middle, so that it may lie across two tokens.
  generate "Question: " -n 40 --temperature 0 --quiet >whole 2>/dev/null
  whole=$(tr -d '\n' <whole)
  [ "${#whole}" -ge 12 ] || die "only ${#whole} characters to stop in"
  stop=${whole:6:2}
  whole=$(cat whole)
  generate "Question: " -n 40 --temperature 0 --quiet --stop "$stop" >stopped 2>/dev/null
  printf '%s\n' "${whole%%"$stop"*}" | same stopped -
  generate "Question: " -n 40 --temperature 0 --quiet --stop "not in there" --stop "$stop" 2>/dev/null | same stopped -
  generate "Question: " -n 40 --temperature 0 --quiet --stop "not in there" 2>/dev/null | same whole -
}

case_standard_input() {
  generate "two
lines" -n 16 --quiet >argument 2>/dev/null
  printf 'two\nlines' | generate - -n 16 --quiet 2>/dev/null | same argument -
  # Without a prompt the text begins at BOS.
  runs 0 generate -n 4
  printf '\377\200' | generate - -n 4 --json >bytes 2>/dev/null
  [ "$(wc -l <bytes)" -ge 1 ] || die "no token after bytes that are not UTF-8"
}

case_precision() {
  runs 0 generate "What " -n 8 --precision f32
  refuses 1 "--precision|fp4|bf16 or f32" "$FRUGAL" generate "$base" a --precision fp4
}

case_lengths() {
  local long
  long=$(printf '0%.0s' $(seq 300))
  refuses 1 "prompt|64|shorten" "$FRUGAL" generate "$base" "$long"
  refuses 1 "prompt|8|shorten" "$FRUGAL" generate "$base" "A question of many words" --ctx-size 8 -n 1
  refuses 1 "--ctx-size|64" "$FRUGAL" generate "$base" a --ctx-size 65
  refuses 1 "--ctx-size|-1" "$FRUGAL" generate "$base" a --ctx-size -1
  refuses 1 "--max-tokens|-1" "$FRUGAL" generate "$base" a -n -1
  runs 0 generate a -n 100000 --ignore-eos --json
  mentions err "warning: the context of 64 positions"
  [ "$(wc -l <out)" -lt 64 ] || die "more tokens than positions"
  runs 0 generate a -n 0 --ignore-eos --json --ctx-size 10
  [ "$(wc -l <out)" -lt 10 ] || die "more tokens than positions"
}

case_sampling_ranges() {
  local value
  for value in -1 nan inf 101; do refuses 1 "temperature|out of range" "$FRUGAL" generate "$base" a --temperature $value; done
  for value in 0 -1 1.5 nan; do refuses 1 "top_p|out of range" "$FRUGAL" generate "$base" a --top-p $value; done
  for value in -0.1 1 nan; do refuses 1 "min_p|out of range" "$FRUGAL" generate "$base" a --min-p $value; done
  refuses 1 "top_k|out of range" "$FRUGAL" generate "$base" a --top-k -1
  runs 0 generate a -n 4 --temperature 100 --top-k 100000 --top-p 1 --min-p 0.99
}

# fp8 and f32 caches: text comes, a wrong combination is named, and /exact says why it cannot be.
case_latent_cache() {
  local type
  for type in bf16 f32 fp8; do
    runs 0 "$FRUGAL" generate "$base" "Question: What" -n 12 --ignore-eos --cache $type --json
    [ "$(wc -l <out)" = 12 ] || die "no 12 tokens with $type"
    cp out once
    runs 0 "$FRUGAL" generate "$base" "Question: What" -n 12 --ignore-eos --cache $type --json -t 3
    same once out
  done
  runs 1 "$FRUGAL" generate "$base" x --cache int3
  mentions err "--cache|int3|bf16, f32 or fp8"
  runs 1 "$FRUGAL" generate "$base" x --cache fp8 --attention expanded
  mentions err "--cache|absorbed"
  printf 'Hello\n/exact\n/quit\n' >lines
  "$FRUGAL" chat "$base" --cache fp8 -n 4 <lines >out 2>err || { cat err; die "chat"; }
  mentions err "/exact|--attention expanded"
}
