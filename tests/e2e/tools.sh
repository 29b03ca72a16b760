# frugal inspect and frugal convert, on the model that the fixtures trained and on golden models.
cases=(inspect_checkpoint inspect_config inspect_problems convert_same_tokens convert_fp8 convert_golden convert_refuses
  convert_damaged_input convert_full_disk model_card convert_killed convert_other_writer convert_memory tiktoken_directory)

convert() { "$FRUGAL" convert "$@"; }
# json FIELD: the number of a field of ./out, which `frugal inspect --json` has written.
json() { grep -m 1 "\"$1\": " out | sed 's/.*: \([^,]*\),\{0,1\}/\1/'; }

case_inspect_checkpoint() {
  runs 0 "$FRUGAL" inspect "$base"
  mentions out "DeepseekV3ForCausalLM|hidden_size 32|routed experts|MTP|checkpoint after step 100|bits per byte|BOS|fits"
  [ ! -s err ] || die "prints on stderr"
  cp out text
  "$FRUGAL" inspect "$checkpoint" | diff text - | grep -v 'memory available\|disk free\|^---\|^[0-9,]*c' && die "a run is not its newest checkpoint"
  runs 0 "$FRUGAL" inspect "$checkpoint" --json
  [ "$(json step)" = 100 ] || die "step $(json step)"
  # Counted in another way: files without their headers. The masters are every parameter in F32.
  local masters=$checkpoint/trainer/masters.safetensors header stored
  header=$(od -An -tu8 -N 8 "$masters" | tr -d ' ')
  [ $(($(json parameters) * 4 + header + 8)) = "$(size_of "$masters")" ] || die "$(json parameters) parameters"
  header=$(od -An -tu8 -N 8 "$checkpoint/model.safetensors" | tr -d ' ')
  stored=$(grep -A 3 stored_bytes out | grep -oE '"(F32|BF16)": [0-9]+' | awk '{ n += $2 } END { print n }')
  [ $((stored + header + 8)) = "$(size_of "$checkpoint/model.safetensors")" ] || die "$stored bytes stored"
}

case_inspect_config() {
  runs 0 "$FRUGAL" inspect "$golden/p_fp8_mtp/config.json"
  mentions out "fp8: e4m3|none here"
  runs 0 "$FRUGAL" inspect small
  mentions out "121,321,536|active per token"
  refuses 1 "nowhere" "$FRUGAL" inspect nowhere
  refuses 2 "model" "$FRUGAL" inspect
  echo '{}' >empty.json
  refuses 1 "empty.json|model_type" "$FRUGAL" inspect empty.json
  mkdir nothing
  refuses 1 "nothing/config.json" "$FRUGAL" inspect nothing
  runs 1 "$FRUGAL" inspect small --verify
  mentions err "small|no manifest.json to verify"
}

case_inspect_problems() {
  cp -r "$checkpoint" m
  sed -i '1s/layers.0.self_attn.o_proj/layers.0.self_attn.x_proj/' m/model.safetensors
  runs 1 "$FRUGAL" inspect m
  mentions out "2 problems|o_proj.weight is missing|x_proj.weight is not part of the model"
  mentions err "m: 2 of its tensors"
  sed -i '1s/layers.0.self_attn.x_proj/layers.0.self_attn.o_proj/' m/model.safetensors
  sed -i 's/"vocab_size": 300/"vocab_size": 301/' m/config.json
  runs 1 "$FRUGAL" inspect m --json
  mentions out "[300, 32]|[301, 32]|problems"
  truncate_by m/model.safetensors 1
  refuses 1 "m/model.safetensors" "$FRUGAL" inspect m
}

# same_text A B: both models say the same, greedily and token by token.
same_text() {
  "$FRUGAL" generate "$1" "Question: " -n 32 --ignore-eos --json >a 2>/dev/null
  "$FRUGAL" generate "$2" "Question: " -n 32 --ignore-eos --json >b 2>/dev/null
  [ "$(wc -l <a)" = 32 ] || die "no 32 tokens"
  same a b
}

case_convert_same_tokens() {
  runs 0 convert "$base" whole --dtype bf16
  mentions err "carried over: README.md, generation_config.json, tokenizer.json, tokenizer_config.json"
  runs 0 convert "$checkpoint" sharded --dtype bf16 --shard-size 20KB --verify --threads 2
  mentions err "every checksum holds"
  [ "$(ls sharded/model-*.safetensors | wc -l)" -ge 4 ] && [ -s sharded/model.safetensors.index.json ] || die "not sharded"
  absent whole/trainer whole/model.safetensors.index.json whole.writing sharded.writing
  same_text "$base" whole
  same_text "$base" sharded
  # Of f32 both ways nothing is lost, and one thread or several write the same bytes.
  runs 0 convert sharded wide --dtype f32
  runs 0 convert wide back --dtype bf16 --threads 1
  runs 0 convert wide back3 --dtype bf16 --threads 3
  diff -r whole back
  diff -r back back3
  runs 0 "$FRUGAL" inspect sharded --verify
  mentions out "every checksum of manifest.json holds"
  flip sharded/model-00002-of-*.safetensors $(($(size_of sharded/model-00002-of-*.safetensors) - 3))
  runs 1 "$FRUGAL" inspect sharded --verify
  mentions err "model-00002-of-|does not match its checksum"
}

case_convert_fp8() {
  runs 0 convert "$checkpoint" fp8 --dtype fp8 --verify
  runs 0 "$FRUGAL" inspect fp8
  mentions out "fp8: e4m3 in blocks of 128 x 128|F8_E4M3"
  mentions fp8/config.json '"quant_method": "fp8"|"weight_block_size"|"activation_scheme": "dynamic"'
  # Reading it is reading what it dequantises to.
  runs 0 convert fp8 wide --dtype f32
  "$FRUGAL" generate fp8 "Question: " -n 24 --ignore-eos --json --precision f32 >a 2>/dev/null
  "$FRUGAL" generate wide "Question: " -n 24 --ignore-eos --json >b 2>/dev/null
  same a b
  [ "$(wc -l <a)" = 24 ] || die "no 24 tokens"
  # Converted again nothing changes.
  runs 0 convert fp8 again --dtype fp8
  diff -r fp8 again
}

case_convert_golden() {
  local name
  for name in a_v3 n_v2group o_tied p_fp8_mtp; do
    runs 0 convert "$golden/$name" $name --dtype bf16 --verify
    runs 0 "$FRUGAL" inspect $name
    absent $name/golden.safetensors
  done
  # The converted model still passes the golden case.
  cp "$golden/a_v3/golden.safetensors" "$golden/a_v3/mla_cache.safetensors" a_v3/
  runs 0 "$FRUGAL" verify a_v3 --quiet
}

case_convert_refuses() {
  refuses 1 "--dtype|int4|bf16, f32 or fp8" convert "$base" made --dtype int4
  refuses 2 "--dtype" convert "$base" made
  refuses 2 "out" convert "$base" --dtype bf16
  local size
  for size in x 0 -5GB 5XB GB 1e30GB; do refuses 1 "--shard-size|$size" convert "$base" made --dtype bf16 --shard-size=$size; done
  refuses 1 "nowhere" convert nowhere made --dtype bf16
  absent made
  mkdir there
  refuses 1 "there|exists already" convert "$base" there --dtype bf16
  : >file
  refuses 1 "file|exists already" convert "$base" file --dtype bf16
  ln -s nowhere link
  refuses 1 "link|exists already" convert "$base" link --dtype bf16
  if [ "$(id -u)" != 0 ]; then
    mkdir locked; chmod 500 locked
    refuses 1 "locked" convert "$base" locked/made --dtype bf16
  fi
  absent there.writing file.writing link.writing
}

# refused_input WORDS: ./m cannot be converted; nothing is left and nothing is changed.
refused_input() {
  fingerprint m >before
  refuses 1 "$1" convert m made --dtype bf16
  absent made made.writing
  fingerprint m | diff before -
}
case_convert_damaged_input() {
  "$FRUGAL" convert "$checkpoint" good --dtype bf16 --shard-size 20KB 2>/dev/null
  local shard=m/model-00002-of-*.safetensors index=m/model.safetensors.index.json
  cp -r good m; shard=$(echo $shard)
  truncate_by "$shard" 1; refused_input "$shard"
  cp good/model-00002-of-* m/; flip "$shard" 7 127; refused_input "$shard|header length"
  rm "$shard"; refused_input "$shard|open"
  cp good/model-00002-of-* m/
  # A tensor that the index does not list, one that it lists in the wrong shard, one that is nowhere.
  sed -i '/layers.1.mlp.experts.0.up_proj/d' $index; refused_input "experts.0.up_proj|index does not list"
  cp good/model.safetensors.index.json m/
  sed -i '/layers.1.mlp.experts.0.up_proj/s/"model-[0-9]*-of/"model-00001-of/' $index; refused_input "experts.0.up_proj|of the index is missing"
  cp good/model.safetensors.index.json m/
  sed -i 's/"weight_map": {/"weight_map": {"more": "model-00001-of-00001.safetensors",/' $index; refused_input "model-00001-of-00001"
  truncate_by $index 20; refused_input "$index"
  cp good/model.safetensors.index.json m/
  sed -i '1s/"dtype":"F32"/"dtype":"I32"/' m/model-00001-of-*; refused_input "I32"
  cp good/model-00001-of-* m/
  sed -i 's/"hidden_size": 32/"hidden_size": 64/' m/config.json; refused_input "[300, 64]"
  cp good/config.json m/
  runs 0 convert m made --dtype bf16
  runs 0 "$FRUGAL" inspect made --verify
}

case_convert_full_disk() {
  mkdir -p "$mounted"
  mount -t tmpfs -o size=200k tmpfs "$mounted" 2>/dev/null || skip "no permission to mount a small disk"
  refuses 1 "out|needs|MB are free" convert "$checkpoint" "$mounted/out" --dtype f32
  absent "$mounted/out" "$mounted/out.writing"
  umount "$mounted"
}

case_convert_killed() {
  # A model that takes a while, killed at several moments: never anything under the final name but a whole directory.
  local i whole=0
  train out=run steps=1 hidden_size=256 vocab_size=8000 intermediate_size=2048 2>/dev/null
  for i in 1 2 3 4 5 6; do
    "$FRUGAL" convert run made --dtype f32 --threads 1 2>/dev/null &
    local pid=$!
    sleep "0.$(printf %02d $((i * 2)))"
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    if [ -e made ]; then whole=$((whole + 1)); "$FRUGAL" inspect made --verify >/dev/null 2>&1 || die "a half directory"; rm -r made; fi
  done
  echo "whole: $whole of 6"
  # What was left does not stand in the way.
  mkdir -p made.writing; echo rubbish >made.writing/model.safetensors
  runs 0 convert run made --dtype f32 --verify
  absent made.writing
}

case_convert_other_writer() {
  mkdir made.writing
  flock made.writing sleep 5 &
  local pid=$!
  sleep 0.3
  refuses 1 "made.writing|another process" convert "$checkpoint" made --dtype bf16
  kill $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
}

# Peak memory does not grow with the model: a few pieces of 16 MiB, for a model of half a gigabyte.
case_convert_memory() {
  [ -n "${FRUGAL_FULL:-}" ] || skip "a model of half a gigabyte: FRUGAL_FULL=1"
  "$FRUGAL" train small data="$tasks" out=run steps=1 batch=1 microbatch=0 precision=f32 eval_every=0 sample_every=0 2>/dev/null
  runs 0 convert run made --dtype fp8 --shard-size 100MB --verify
  local peak
  peak=$(sed -n 's/.*peak memory \([0-9]*\) MB.*/\1/p' err)
  echo "peak $peak MB"
  [ "$peak" -lt 150 ] || die "peak memory $peak MB"
}

case_model_card() {
  local card=$checkpoint/README.md
  mentions "$card" "library_name: frugal|pipeline_tag: text-generation|model_type: deepseek_v3"; grep -qF "| steps | 100 |" "$card"
  mentions "$card" "bits per byte|- \`tasks.jsonl\`|hidden_size = 32|frugal generate"
  head -1 "$card" | grep -q '^---$' || die "no front matter"
  grep -q "^license" "$card" && die "a licence that nobody named"
  grep -qF "$work" "$card" && die "a path of this machine"
  absent "$base/checkpoints/step-00000050/README.md"
  grep -q README.md "$checkpoint/trainer/manifest.json" || die "the card has no checksum"
  runs 0 train out=run steps=2 license=apache-2.0
  mentions run/checkpoints/step-00000002/README.md 'license: "apache-2.0"'
}

# A directory with Moonlight's and Kimi-K2's tokenizer files does what one with tokenizer.json does.
case_tiktoken_directory() {
  sed 's/"vocab_size": [0-9]*/"vocab_size": 832/' "$golden/a_v3/config.json" >config.json
  runs 0 "$FRUGAL" synth config.json kimi --format bf16
  cp "$golden/tiktoken/tiktoken.model" "$golden/tiktoken/tokenizer_config.json" kimi/
  runs 0 "$FRUGAL" inspect kimi
  mentions out "818 tokens, BOS 562|EOS 563"
  runs 0 "$FRUGAL" tokenizer encode kimi "<|im_user|>Hello"
  [ "$(cat out)" = "565 39 68 75 75 78" ] || { cat out; die "other ids"; }
  runs 0 "$FRUGAL" generate kimi "The miller" -n 5 --ignore-eos --json
  [ "$(wc -l <out)" = 5 ] || die "no 5 tokens"
  runs 0 "$FRUGAL" convert kimi wide --dtype f32
  cmp kimi/tiktoken.model wide/tiktoken.model
  sed -i '3s/ 2$/ 1/' wide/tiktoken.model
  runs 1 "$FRUGAL" generate wide x
  mentions err "tiktoken.model: line 3|rank 1 occurs twice"
}
