# Rubbish from outside: one clear line that names the file or field, an exit status, and nothing written over.
cases=(bad_config bad_weights bad_tokenizer bad_corpus bad_recipe_file bad_setting bad_directories full_output full_disk)

# copy_model: a fresh copy of the model directory in ./m.
copy_model() { rm -rf m; cp -r "$checkpoint" m; }
# refuses_model WORDS: generating from ./m must fail; ./m stays as it is.
refuses_model() {
  fingerprint m >before
  refuses 1 "$1" "$FRUGAL" generate m a -n 1
  fingerprint m | diff before -
}
# with_config KEY VALUE WORDS
with_config() {
  copy_model
  grep -q "\"$1\": " m/config.json || die "config.json has no $1"
  sed -i "s/\"$1\": [^,]*/\"$1\": $2/" m/config.json
  refuses_model "m/|$3"
}
case_bad_config() {
  with_config hidden_size 64 "model.safetensors|[300, 64]"
  with_config hidden_size 0 "config.json|hidden_size"
  with_config hidden_size -32 "config.json|hidden_size"
  with_config hidden_size 32.5 "config.json|hidden_size"
  with_config hidden_size '"32"' "config.json|hidden_size"
  with_config hidden_size 99999999999999999999 "config.json|hidden_size"
  with_config num_attention_heads 3 "config.json|num_attention_heads"
  with_config qk_rope_head_dim 3 "config.json|qk_rope_head_dim"
  with_config n_group 3 "config.json|n_group"
  with_config topk_group 5 "config.json|topk_group"
  with_config num_experts_per_tok 4 "config.json|num_experts_per_tok"
  with_config n_routed_experts 16000 "config.json|expert"
  with_config num_hidden_layers 4 "config.json"
  with_config vocab_size 200 "vocab"
  with_config rms_norm_eps -1 "config.json|rms_norm_eps"
  with_config rope_theta 0 "config.json|rope_theta"
  with_config model_type '"llama"' "config.json|llama"
  copy_model; truncate_by m/config.json 30; refuses_model "m/config.json"
  copy_model; : >m/config.json; refuses_model "m/config.json"
  copy_model; echo '[1, 2]' >m/config.json; refuses_model "m/config.json"
  copy_model; head -c 300 /dev/zero >m/config.json; refuses_model "m/config.json"
  copy_model; rm m/config.json; refuses_model "m/config.json"
}

case_bad_weights() {
  local weights=m/model.safetensors
  copy_model; truncate_by $weights 1; refuses_model "$weights"
  copy_model; head -c 100 "$checkpoint/model.safetensors" >$weights; refuses_model "$weights|header"
  copy_model; : >$weights; refuses_model "$weights"
  copy_model; echo more >>$weights; refuses_model "$weights"
  # An absurd header length.
  copy_model; flip $weights 7 127; refuses_model "$weights|header length"
  copy_model; flip $weights 3 127; refuses_model "$weights|header length"
  # Types: another width, and one of the same width that is no weight.
  copy_model; sed -i '1s/"BF16"/"F32"/' $weights; refuses_model "$weights"
  copy_model; sed -i '1s/"dtype":"F32"/"dtype":"I32"/' $weights; refuses_model "$weights|input_layernorm|I32"
  copy_model; sed -i '1s/"dtype":"F32"/"dtype":"X32"/' $weights; refuses_model "$weights|input_layernorm|X32"
  # Shapes and names that config.json does not ask for.
  copy_model; sed -i '1s/\[300,32\]/[32,300]/' $weights; refuses_model "$weights|embed_tokens|[32, 300]"
  copy_model; sed -i '1s/layers.0.self_attn.o_proj/layers.0.self_attn.x_proj/' $weights; refuses_model "$weights|x_proj"
  copy_model
  safetensors $weights '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}' 12
  refuses_model "$weights: b|overlaps"
  safetensors $weights '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}' 20
  refuses_model "$weights: b|unused bytes"
  safetensors $weights '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,80]}}' 8
  refuses_model "$weights: a|outside"
  safetensors $weights '{"a":{"dtype":"F32","shape":[281474976710656,281474976710656],"data_offsets":[0,8]}}' 8
  refuses_model "$weights: a|too large"
  safetensors $weights '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8
  refuses_model "$weights: a|stands twice"
  safetensors $weights 'not json' 8
  refuses_model "$weights|not JSON"
  safetensors $weights '{}' 0
  refuses_model "m"
  copy_model; rm $weights; refuses_model "m|model.safetensors"
  copy_model; echo '{"weight_map": {"a": "../m/model.safetensors"}}' >$weights.index.json; refuses_model "$weights.index.json|../m"
  copy_model; echo '{"weight_map": 3}' >$weights.index.json; refuses_model "$weights.index.json"
}

case_bad_tokenizer() {
  local json=m/tokenizer.json
  copy_model; sed -i '/"merges": \[/a "zzzz qqqq",' $json; refuses_model "$json|zzzz"
  copy_model; truncate_by $json 10; refuses_model "$json"
  copy_model; : >$json; refuses_model "$json"
  copy_model; echo '{}' >$json; refuses_model "$json"
  copy_model; rm $json; refuses_model "$json"
  # More tokens than the model has rows.
  "$FRUGAL" tokenizer train "$tasks" --vocab-size 400 --out large >/dev/null
  copy_model; cp large/tokenizer.json m/; refuses_model "m|400|300"
  refuses 1 "400|vocab_size|300" train out=run steps=2 tokenizer=large
  refuses 1 "nowhere" train out=run steps=2 tokenizer=nowhere
  absent run
  refuses 1 "large/nothing" "$FRUGAL" tokenizer encode large/nothing text
}

case_bad_corpus() {
  : >empty.txt
  printf '  \n\n' >blank.txt
  head -c 4000 "$FRUGAL" >binary.txt
  printf 'good\nbad \377 line\n' >latin.txt
  printf '{"text": "good"}\n{"txt": "bad"}\n' >nofield.jsonl
  printf '{"text": "good"}\n{"text": 3}\n' >number.jsonl
  printf '{"text": "good"}\n{"text": "bad\n' >cut.jsonl
  refuses 1 "empty.txt|empty" train out=run data=empty.txt
  refuses 1 "blank.txt" train out=run data=blank.txt
  refuses 1 "binary.txt|binary" train out=run data=binary.txt
  refuses 1 "latin.txt:2|UTF-8" train out=run data=latin.txt
  refuses 1 "nofield.jsonl:2|text" train out=run strict=true data=nofield.jsonl
  refuses 1 "number.jsonl:2|text" train out=run strict=true data=number.jsonl
  refuses 1 "cut.jsonl:2|JSON" train out=run strict=true data=cut.jsonl
  refuses 1 "nowhere.txt|no such file" train out=run data=nowhere.txt
  refuses 1 "nowhere.txt" train out=run data="$tasks,nowhere.txt"
  refuses 1 "no data" train out=run data=
  mkdir nothing
  refuses 1 "nothing|holds no file" train out=run data=nothing
  refuses 1 "empty.txt|empty" "$FRUGAL" tokenizer train empty.txt --vocab-size 300 --out tok
  refuses 1 "nowhere.txt" "$FRUGAL" tokenizer train nowhere.txt --vocab-size 300 --out tok
  refuses 1 "3|259" "$FRUGAL" tokenizer train "$tasks" --vocab-size 3 --out tok
  absent run tok
}

# recipe TEXT WORDS: a recipe file of that text is refused, with its line.
recipe() {
  printf "$1" >r.toml
  refuses 1 "r.toml$2" "$FRUGAL" train r.toml data="$tasks" out=run
}
case_bad_recipe_file() {
  recipe 'steps = 3\n\nhiden_size = 32\n' ":3|hiden_size"
  recipe '# one\nsteps = "three"\n' ":2|steps|not a number"
  recipe 'data = 3\n' ":1|data|list"
  recipe 'out = 3\n' ":1|out|string"
  recipe 'tie_word_embeddings = 1\n' ":1|tie_word_embeddings|true or false"
  recipe '\nsteps = -1\n' ":2|steps|out of range"
  recipe 'steps = 2.5\n' ":1|steps|whole"
  recipe 'learning_rate = nan\n' ":1|learning_rate|out of range"
  recipe 'beta1 = 1.5\n' ":1|beta1|out of range"
  recipe 'steps = 3\nsteps = 4\n' ":2|steps"
  recipe 'steps =\n' ":1"
  recipe '\nsteps = \377\n' ":2"
  refuses 1 "nowhere.toml|presets" "$FRUGAL" train nowhere.toml data="$tasks" out=run
  absent run
}

case_bad_setting() {
  local s
  for s in hiden_size=3 steps=three steps= steps=0 steps=1.5 steps=inf tie_word_embeddings=maybe threads=99999 \
    learning_rate=-1 precision=fp4 num_experts_per_tok=9 n_group=3 qk_rope_head_dim=3 microbatch=3 sequence_length=65 \
    hidden_size=1048577 vocab_size=100; do
    refuses 1 "${s%%=*}" train out=run steps=2 $s
  done
  refuses 1 "steps|key=value" train out=run steps
  refuses 1 "constant_until" train out=run steps=2 constant_until=0.99
  refuses 1 "run directory|out=DIR" train steps=2 out=
  refuses 1 "FRUGAL_ISA|mmx|scalar" env FRUGAL_ISA=mmx "$FRUGAL" generate "$base" a
  absent run
}

case_bad_directories() {
  refuses 1 "nowhere" "$FRUGAL" generate nowhere a
  refuses 1 "nowhere" "$FRUGAL" verify nowhere
  mkdir empty
  refuses 1 "empty" "$FRUGAL" generate empty a
  refuses 1 "empty" "$FRUGAL" verify empty
  mkdir -p run/checkpoints
  refuses 1 "run|checkpoint" "$FRUGAL" generate run a
  # A file where the run directory should be.
  echo mine >file
  runs 1 train out=file steps=2
  mentions err "frugal: file"
  [ "$(cat file)" = mine ] || die "file was written over"
  runs 1 train out=/dev/null/run steps=2
  mentions err "frugal: /dev/null/run"
}

case_full_output() {
  [ -c /dev/full ] || skip "no /dev/full"
  local status command
  for command in "--help" "generate $base a -n 4" "tokenizer encode $base/tokenizer text" "train --help" "verify $golden/o_tied"; do
    status=0
    "$FRUGAL" $command >/dev/full 2>err || status=$?
    [ $status = 1 ] || { cat err; die "status $status with a full standard output: $command"; }
    mentions err "frugal: standard output"
  done
}

# A run for which there is no room is refused; one whose disk fills keeps its last checkpoint, says so, and goes on
# when there is room again.
case_full_disk() {
  [ "$(id -u)" = 0 ] || skip "only root can mount a small disk"
  mkdir -p "$mounted"
  mount -t tmpfs -o size=1200k tmpfs "$mounted" 2>/dev/null || skip "this container cannot mount a small disk"
  local settings="steps=60 save_every=20 keep_checkpoints=9" out=$mounted/run
  runs 0 train out=whole $settings
  runs 1 train out=$out $settings
  mentions err "frugal: $out: a run that keeps 3 checkpoints needs|of disk|are free"
  absent $out
  runs 0 train out=$out $settings save_every=0 steps=20
  mount -o remount,size=8m "$mounted"
  rm -rf $out
  cp -r whole $out
  rm -r $out/checkpoints/step-00000040 $out/checkpoints/step-00000060
  # Somebody else takes the rest but for one checkpoint.
  dd if=/dev/zero of="$mounted/other" bs=1k count=$((8192 - 1650)) status=none
  runs 1 "$FRUGAL" train --resume $out
  [ "$(grep -c '^frugal: ' err)" = 1 ] || { cat err; die "not one line 'frugal: ...'"; }
  grep '^frugal: ' err >line
  mentions line "$out/checkpoints|of disk|free disk space"
  same_checkpoint whole/checkpoints/step-00000040 $out/checkpoints/step-00000040
  absent $out/checkpoints/step-00000060
  rm "$mounted/other"
  runs 0 "$FRUGAL" train --resume $out
  same_checkpoint whole/checkpoints/step-00000060 $out/checkpoints/step-00000060
  diff <(log_steps $out) <(seq 60)
}
