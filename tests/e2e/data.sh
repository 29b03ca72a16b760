# Data: sources, what is left out, shards, and what happens when disks, files or the process fail.
cases=(sources standard_input left_out mixture dedupe_fim shards_train shards_kill shards_bounded_memory shards_full_disk
  shards_damaged data_changed data_show)

# lines N [SEED]: N JSON lines of some words each, all different.
lines() {
  awk -v n="$1" -v seed="${2:-1}" 'BEGIN { srand(seed)
    for (i = 0; i < n; ++i) { s = "document " i
      for (k = 0; k < 40; ++k) s = s " w" int(rand() * 3000)
      print "{\"text\": \"" s "\"}" } }'
}
# tokenizer: one for these words, in ./tok.
tokenizer() { "$FRUGAL" tokenizer train "$1" --vocab-size 290 --out tok >/dev/null; }
build() { "$FRUGAL" data build --tokenizer tok "$@"; }

# Text, lines, packed or not, files or a folder: the same documents make the same run.
case_sources() {
  lines 120 >all.jsonl
  mkdir -p folder/sub folder/.hidden
  head -60 all.jsonl >folder/a.jsonl
  tail -60 all.jsonl | gzip -9 >folder/sub/b.jsonl.gz
  echo '{"text": "hidden"}' >folder/.hidden/x.jsonl
  for i in $(seq 9); do echo "note $i" >folder/$i.md; done
  runs 0 train out=one data=all.jsonl steps=4
  runs 0 train out=two data=folder extensions=.jsonl steps=4
  same_training one/checkpoints/step-00000004 two/checkpoints/step-00000004
  runs 0 train out=three data=folder steps=4
  differ one/checkpoints/step-00000004/trainer/state.json three/checkpoints/step-00000004/trainer/state.json
  sed 's/"text"/"body"/' all.jsonl >body.jsonl
  runs 0 train out=four data=body.jsonl text_field=body steps=4
  same_training one/checkpoints/step-00000004 four/checkpoints/step-00000004
  refuses 1 "folder|extensions" train out=five data=folder extensions=.rst steps=4
  absent five
}

case_standard_input() {
  lines 100 >all.jsonl
  tokenizer all.jsonl
  runs 0 train out=one data=all.jsonl steps=2
  train out=two data=- steps=2 <all.jsonl >/dev/null 2>err || { cat err; exit 1; }
  same_training one/checkpoints/step-00000002 two/checkpoints/step-00000002
  build --out a all.jsonl >/dev/null 2>&1
  cat all.jsonl | build --out b - >/dev/null 2>&1
  same a/shard-00000.bin b/shard-00000.bin
}

# What is unusable is counted, named and left out; strict refuses it.
case_left_out() {
  mkdir mixed
  lines 80 >mixed/good.jsonl
  { echo '{"text": "fine"}'; echo 'rubbish'; echo '{"txt": 1}'; } >mixed/broken.jsonl
  : >mixed/empty.txt
  head -c 4000 "$FRUGAL" >mixed/binary.bin
  printf 'good\nbad \377 line\n' >mixed/latin.txt
  ln -s nowhere mixed/dangling
  printf '  \n' >mixed/blank.txt
  gzip -c mixed/good.jsonl | head -c 300 >mixed/cut.jsonl.gz
  runs 0 train out=run data=mixed steps=2
  mentions err "1 empty file, 2 unreadable files, 1 binary text, 1 text that is not UTF-8, 2 broken JSON lines, 1 blank document"
  mentions err "mixed/broken.jsonl:2: not valid JSON|mixed/dangling: cannot open|mixed/cut.jsonl.gz: the compressed data ends early"
  tokenizer mixed/good.jsonl
  runs 0 build --out shards mixed
  mentions err "2 broken JSON lines"
  mentions shards/shards.json '"broken_line": 2|"not_utf8": 1|"unreadable": 2'
  local file
  for file in broken.jsonl empty.txt binary.bin latin.txt dangling cut.jsonl.gz; do
    refuses 1 "mixed/$file" train out=strict data="mixed/good.jsonl,mixed/$file" strict=true steps=2
    refuses 1 "mixed/$file" build --strict --out strict mixed/good.jsonl "mixed/$file"
    rm -rf strict.building
  done
  absent strict
}

# Weights are shares of an epoch's tokens.
case_mixture() {
  lines 200 1 >a.jsonl
  lines 800 2 >b.jsonl
  tokenizer a.jsonl
  runs 0 "$FRUGAL" data show 0.75:a.jsonl 0.25:b.jsonl --tokenizer tok --rows 0
  mentions out "source 1    7|source 2    2"
  runs 0 train out=one data=0.75:a.jsonl,0.25:b.jsonl tokenizer=tok steps=4 save_every=2
  # The order of the epochs is part of the checkpoint.
  cp -r one two
  rm -r two/checkpoints/step-00000004
  runs 0 "$FRUGAL" train --resume two
  same_training one/checkpoints/step-00000004 two/checkpoints/step-00000004
  # The same from shards, mixed with text.
  build --out shards b.jsonl >/dev/null 2>&1
  runs 0 train out=three data=0.75:a.jsonl,0.25:shards tokenizer=tok steps=4
  same_training one/checkpoints/step-00000004 three/checkpoints/step-00000004
  refuses 1 "weight" train out=four data=0.75:a.jsonl,b.jsonl steps=4
  refuses 1 "weight" build --out four 0.75:a.jsonl
  absent four
}

case_dedupe_fim() {
  lines 100 >a.jsonl
  head -30 a.jsonl | sed 's/w1/x1/' >near.jsonl
  runs 0 "$FRUGAL" data show a.jsonl a.jsonl dedupe=exact vocab_size=300 --rows 0
  mentions out "100 equal documents"
  runs 0 "$FRUGAL" data show a.jsonl near.jsonl dedupe=near vocab_size=300 --rows 0
  grep -Eq 'left out: .*(2[0-9]|30) nearly equal documents' out || { cat out; die "near duplicates not found"; }
  # A tokenizer that is trained for it has the tokens; shards give the same run, also at a lower rate.
  runs 0 train out=one data=a.jsonl fim_rate=0.5 steps=2
  mentions one/tokenizer/tokenizer.json "<｜fim▁begin｜>|<｜fim▁hole｜>|<｜fim▁end｜>"
  runs 0 "$FRUGAL" data build --tokenizer one/tokenizer --fim-rate 0.5 --out shards a.jsonl
  runs 0 train out=two data=shards fim_rate=0.5 steps=2
  same_training one/checkpoints/step-00000002 two/checkpoints/step-00000002
  runs 0 train out=three data=a.jsonl tokenizer=one/tokenizer fim_rate=0.2 steps=2
  runs 0 train out=four data=shards fim_rate=0.2 steps=2
  same_training three/checkpoints/step-00000002 four/checkpoints/step-00000002
  differ one/checkpoints/step-00000002/model.safetensors three/checkpoints/step-00000002/model.safetensors
  refuses 1 "shards|fim_rate 0.5" train out=five data=shards fim_rate=0.6 steps=2
  tokenizer a.jsonl
  refuses 1 "fim_rate|<｜fim▁begin｜>" train out=five data=a.jsonl tokenizer=tok fim_rate=0.1 steps=2
  absent five
}

# A run from shards is the run from the texts, bit for bit: of many documents, and of one that is cut in two.
case_shards_train() {
  lines 300 >a.jsonl
  tokenizer a.jsonl
  runs 0 build --out shards --shard-tokens 2000 a.jsonl
  runs 0 train out=one data=a.jsonl tokenizer=tok steps=6 eval_every=3
  runs 0 train out=two data=shards steps=6 eval_every=3
  same_training one/checkpoints/step-00000006 two/checkpoints/step-00000006
  diff <(log_values one) <(log_values two)
  cut -c 11-150 a.jsonl >book.txt
  runs 0 build --out book book.txt
  runs 0 train out=three data=book.txt tokenizer=tok steps=4 eval_every=2
  runs 0 train out=four data=book steps=4 eval_every=2
  same_training three/checkpoints/step-00000004 four/checkpoints/step-00000004
  diff <(log_values three) <(log_values four)
  "$FRUGAL" tokenizer train a.jsonl --vocab-size 280 --out other >/dev/null
  refuses 1 "shards|another tokenizer" train out=five data=shards tokenizer=other steps=2
  refuses 1 "shards|exists already" build --out shards a.jsonl
  absent five
}

# kill -9 again and again: the same bytes in the end.
case_shards_kill() {
  local documents=12000 kills=3
  [ -z "${FRUGAL_FULL:-}" ] || { documents=120000 kills=40; }
  lines $documents >a.jsonl
  tokenizer a.jsonl
  local options="--shard-tokens 20000 --dedupe near" tries=0 halfway=0
  runs 0 build --out whole --threads 1 $options a.jsonl
  while [ ! -d parts ] && [ $halfway -lt $kills ]; do
    tries=$((tries + 1))
    "$FRUGAL" data build --tokenizer tok --out parts --threads 2 $options a.jsonl >/dev/null 2>&1 &
    sleep "$(awk "BEGIN { print 0.1 + 0.04 * $tries }")"
    kill -9 $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    if [ -f parts.building/shard-00000.bin ]; then halfway=$((halfway + 1)); fi
  done
  [ -d parts ] || runs 0 build --out parts $options a.jsonl
  [ $halfway -ge 1 ] || skip "no build was killed between two shards"
  diff -r whole parts
  absent parts.building
}

# A corpus of several times the address space that the process may have. Every text stands there several times, so
# that a short test reads much and tokenises little; the full one tokenises all of it, and remembers no text.
case_shards_bounded_memory() {
  lines 4000 >part.jsonl
  tokenizer part.jsonl
  local limit=48000 parts=16 copies=10 dedupe=exact i k bytes
  [ -z "${FRUGAL_FULL:-}" ] || { parts=180 copies=1 dedupe=none; }
  mkdir corpus
  for i in $(seq $parts); do
    sed "s/document/part $i/" part.jsonl | gzip -1 >corpus/$i-1.jsonl.gz
    for k in $(seq 2 $copies); do ln corpus/$i-1.jsonl.gz corpus/$i-$k.jsonl.gz; done
  done
  bytes=$(($(size_of part.jsonl) * parts * copies))
  [ $bytes -gt $((limit * 1024 * 3)) ] || die "the corpus has only $bytes bytes"
  (
    ulimit -v $limit
    exec "$FRUGAL" data build --tokenizer tok --threads 1 --dedupe $dedupe --shard-tokens 500000 --out shards corpus
  ) >out 2>err || { cat err; exit 1; }
  mentions out "$((4000 * parts)) documents"
}

# A disk that is too small: said before it is full where that can be told, and when it is full; then it goes on.
case_shards_full_disk() {
  [ "$(id -u)" = 0 ] || skip "only root can mount a small disk"
  lines 3000 >a.jsonl
  tokenizer a.jsonl
  runs 0 build --out whole --shard-tokens 30000 a.jsonl
  mkdir -p "$mounted"
  mount -t tmpfs -o size=1m tmpfs "$mounted" 2>/dev/null || skip "this container cannot mount a small disk"
  local out=$mounted/shards
  refuses 1 "$out.building|MB more|are free|repeat the command" build --out $out --shard-tokens 30000 a.jsonl
  cat a.jsonl | build --out $out --shard-tokens 30000 - >/dev/null 2>err && die "a full disk went unnoticed"
  mentions err "other settings"
  rm -rf $out.building
  cat a.jsonl | build --out $out --shard-tokens 30000 - >/dev/null 2>err && die "a full disk went unnoticed"
  mentions err "frugal: $out.building/shard-|No space left on device|free disk space"
  mount -o remount,size=32m "$mounted"
  cat a.jsonl | build --out $out --shard-tokens 30000 - >/dev/null 2>err || { cat err; exit 1; }
  for file in whole/shard-*.bin; do same $file $out/${file#whole/}; done
  umount "$mounted"
}

case_shards_damaged() {
  lines 200 >a.jsonl
  tokenizer a.jsonl
  runs 0 build --out shards --shard-tokens 5000 a.jsonl
  [ -f shards/shard-00002.bin ] || die "too few shards"
  runs 0 train out=run data=shards steps=2 save_every=1
  local file=shards/shard-00001.bin
  cp -r shards good
  truncate_by $file 3; refuses 1 "$file" train out=bad data=shards steps=2
  cp good/shard-00001.bin $file; flip $file 900; refuses 1 "$file|damaged" train out=bad data=shards steps=2
  refuses 1 "$file" "$FRUGAL" data show shards
  runs 1 "$FRUGAL" train --resume run steps=4; mentions err "$file"
  cp good/shard-00001.bin $file; flip $file 20; refuses 1 "$file|damaged" train out=bad data=shards steps=2
  cp good/shard-00000.bin $file; refuses 1 "$file" train out=bad data=shards steps=2
  rm $file; refuses 1 "$file|missing" train out=bad data=shards steps=2
  cp good/shard-00001.bin $file; truncate_by shards/shards.json 40; refuses 1 "shards/shards.json" train out=bad data=shards steps=2
  cp good/shards.json shards/; sed -i 's/"min_frequency"/"x"/; s/{/{ /' shards/tokenizer/tokenizer.json
  runs 1 train out=bad data=shards steps=2; mentions err "shards/tokenizer"
  absent bad
}

# A text or shards that changed between the calls of a run.
case_data_changed() {
  lines 100 >a.jsonl
  tokenizer a.jsonl
  runs 0 train out=run data=a.jsonl tokenizer=tok steps=4 save_every=2
  cp a.jsonl kept
  sed -i '50s/w1/w2/' a.jsonl
  runs 1 "$FRUGAL" train --resume run steps=6
  mentions err "run: the data"
  cp kept a.jsonl
  runs 0 "$FRUGAL" train --resume run steps=6
  # The same documents from shards may go on with the run; others may not.
  runs 0 build --out shards a.jsonl
  runs 0 "$FRUGAL" train --resume run steps=8 data=shards
  sed '50s/w1/w2/' kept >b.jsonl
  runs 0 build --out others b.jsonl
  runs 1 "$FRUGAL" train --resume run steps=10 data=others
  mentions err "run: the data"
}

case_data_show() {
  lines 40 >a.jsonl
  printf '%s\n' '{"text": "short"}' '{"text": "tab\there \u001b[31m"}' >>a.jsonl
  tokenizer a.jsonl
  runs 0 "$FRUGAL" data show a.jsonl --tokenizer tok sequence_length=64 --rows 30
  mentions out "row 0 of|row 1 of|document |<｜begin▁of▁sentence｜>|<｜end▁of▁sentence｜>|goes on elsewhere|look-ahead|training |validation |packing |bytes per token|% filled"
  grep -q $'\033' out && die "colours without a terminal"
  runs 0 "$FRUGAL" data show a.jsonl --tokenizer tok sequence_length=64 --row 3
  [ "$(grep -c '^row ' out)" = 1 ] || die "not one row"
  runs 1 "$FRUGAL" data show a.jsonl --tokenizer tok --row 999999
  mentions err "frugal: --row: 999999"
  runs 0 "$FRUGAL" data show a.jsonl vocab_size=300 fim_rate=1 sequence_length=400 --rows 1
  mentions out "<｜fim▁begin｜>|<｜fim▁hole｜>|<｜fim▁end｜>|padding"
  runs 0 build --out shards a.jsonl
  runs 0 "$FRUGAL" data show shards --rows 1
  if command -v script >/dev/null; then
    TERM=xterm script -qec "'$FRUGAL' data show a.jsonl --tokenizer tok --rows 1" /dev/null >screen </dev/null
    grep -q $'\033\[' screen || die "no colours on a terminal"
    TERM=xterm NO_COLOR=1 script -qec "'$FRUGAL' data show a.jsonl --tokenizer tok --rows 1" /dev/null >screen </dev/null
    grep -q $'\033\[3' screen && die "colours in spite of NO_COLOR"
  fi
  runs 0 "$FRUGAL" data show a.jsonl --tokenizer tok --row 0
}
