# Everything that comes from outside, damaged: one clear line, exit status 1, nothing written over.
cases=(config_shapes safetensors_damage tokenizer_merges corpora recipe_values vocabulary missing_model full_disk verify)

# A copy of the model that a case may damage.
copy_model() { cp -r "$checkpoint" model && rm -r model/trainer; }
refuses_model() { refuses 1 "$1" "$FRUGAL" generate model "What "; }

case_config_shapes() {
  copy_model
  sed -i 's/"kv_lora_rank": [0-9]*/"kv_lora_rank": 0/' model/config.json
  refuses_model "config.json|kv_lora_rank"
  copy_model 2>/dev/null || { rm -r model; copy_model; }
  sed -i 's/"n_group": [0-9]*/"n_group": 3/' model/config.json
  refuses_model "config.json|n_group"
}

case_safetensors_damage() {
  copy_model
  cp model/model.safetensors whole
  truncate_by model/model.safetensors 100
  refuses_model "model.safetensors"
  safetensors model/model.safetensors '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}' 12
  refuses_model "model.safetensors|overlaps"
  safetensors model/model.safetensors '{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}}' 8
  refuses_model "model.safetensors|F64"
  { printf '\377\377\377\377\377\377\377\177'; head -c 64 /dev/zero; } >model/model.safetensors
  refuses_model "model.safetensors|header"
  safetensors model/model.safetensors '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8
  refuses_model "config.json"
}

case_tokenizer_merges() {
  copy_model
  sed -i '0,/"merges": \[/s//"merges": ["nosuchtoken neither", /' model/tokenizer.json
  refuses_model "tokenizer.json|nosuchtoken"
}

case_corpora() {
  : >empty.txt
  refuses_run "empty.txt" data=empty.txt
  printf 'text\0more' >binary.txt
  refuses_run "binary.txt" data=binary.txt
  printf 'text \377 more\n' >invalid.txt
  refuses_run "invalid.txt|UTF-8" data=invalid.txt
  printf '{"words": "x"}\n' >notext.jsonl
  refuses_run "notext.jsonl|text" data=notext.jsonl
  refuses_run "nosuch.txt" data=nosuch.txt
}
refuses_run() {
  local words=$1
  shift
  refuses 1 "$words" train out=run steps=2 "$@"
  absent run/recipe.toml
}

case_recipe_values() {
  refuses_run "no_such_key" no_such_key=1
  refuses_run "learning_rate|out of range" learning_rate=-1
  refuses_run "steps|number" steps=many
  refuses_run "precision|fp4" precision=fp4
  printf 'hidden_size = 32\nhidden_sice = 32\n' >bad.toml
  refuses 1 "bad.toml:2|hidden_sice" "$FRUGAL" train bad.toml data="$tasks" out=run
  printf 'hidden_size = "wide"\n' >bad.toml
  refuses 1 "bad.toml:1|hidden_size" "$FRUGAL" train bad.toml data="$tasks" out=run
  absent run
}

case_vocabulary() { refuses_run "vocab_size" vocab_size=280 tokenizer="$base/tokenizer"; }

case_missing_model() {
  refuses 1 "nowhere" "$FRUGAL" generate nowhere "What "
  mkdir empty
  refuses 1 "empty" "$FRUGAL" generate empty "What "
}

case_full_disk() {
  mkdir -p "$mounted"
  mount -t tmpfs -o size=600k tmpfs "$mounted" 2>/dev/null || skip "a small file system cannot be mounted here"
  local status=0
  train out="$mounted/run" steps=3 >out 2>err || status=$?
  umount "$mounted"
  [ $status = 1 ] || { cat err; die "exit status $status"; }
  mentions err "No space left|free disk space"
}

case_verify() {
  runs 0 "$FRUGAL" verify "$golden/o_tied"
  mentions out "PASS"
  cp -r "$golden/o_tied" damaged
  chmod -R u+w damaged
  flip damaged/golden.safetensors $(($(size_of damaged/golden.safetensors) - 2)) 64
  runs 1 "$FRUGAL" verify damaged
  mentions out "FAIL"
  truncate_by damaged/model.safetensors 10
  runs 1 "$FRUGAL" verify damaged
  mentions out "model.safetensors"
}
