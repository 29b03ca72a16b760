# The demo: seconds of it, on frugal's course and on other text, with and without a terminal, interrupted and resumed.
cases=(demo_course demo_interrupted demo_own_text demo_refuses demo_terminal)

tiny=$work/tiny.toml
tiny_recipe() {
  { tr ' ' '\n' <<<"$model" | grep -v '^eval_every\|^sample_every'; printf 'vocab_size=330\n'; } | awk -F= '{v[$1]=$2} END {for (k in v) print k " = " v[k]}' >"$tiny"
  sed -i 's/max_position_embeddings = 64/max_position_embeddings = 256/' "$tiny"
}
demo() { "$FRUGAL" demo --recipe "$tiny" --documents 2000 --questions 16 --threads 1 "$@"; }

case_demo_course() {
  tiny_recipe
  runs 0 demo --minutes 0.05
  mentions err "machine|GFLOP/s|course|training in runs/demo|talk to it"
  mentions out "exam, held out|nearest|exact match|/16)|this run|estimate|DeepSeek-V3"
  for f in course.jsonl recipe.toml log.jsonl receipt.json exam.json; do [ -s runs/demo/$f ] || die "no runs/demo/$f"; done
  grep -q "$(printf '\033')" out err && die "escape sequences without a terminal"
  # A second demo leaves the first alone.
  runs 0 demo --minutes 0.03
  mentions err "training in runs/demo-2"
}

case_demo_interrupted() {
  tiny_recipe
  "$FRUGAL" demo --recipe "$tiny" --documents 2000 --questions 16 --threads 1 --minutes 1 >out 2>err </dev/null &
  local pid=$! tries=0 status=0
  until grep -q '^step 1/' err 2>/dev/null; do
    [ $((tries += 1)) -lt 600 ] || die "training did not begin"
    sleep 0.1
  done
  sleep 1
  kill -TERM $pid
  wait $pid || status=$?
  [ $status = 130 ] || { cat err; die "exit status $status"; }
  mentions err "interrupted after step|is saved"
  local done_steps
  done_steps=$(log_steps runs/demo | tail -1)
  # Fewer steps are left than a minute's; the plan stays.
  sed -i "s/^steps = .*/steps = $((done_steps + 20))/" runs/demo/recipe.toml
  runs 0 demo
  mentions err "was interrupted after step $done_steps. It goes on."
  mentions out "exact match"
  [ "$(log_steps runs/demo | uniq | wc -l)" = $((done_steps + 20)) ] || die "steps are missing or stand twice"
}

case_demo_own_text() {
  mkdir -p texts/deeper texts/.hidden
  for i in $(seq 400); do echo "The $i. line of a text that somebody wrote about $((i * 7)) things."; done >texts/a.txt
  for i in $(seq 400); do echo "Another text says $((i * 3)) words on line $i."; done >texts/deeper/b.md
  printf '\0\1\2' >texts/binary
  : >texts/empty.txt
  echo secret >texts/.hidden/c.txt
  tiny_recipe
  runs 0 demo texts --minutes 0.05
  mentions err "left out: 1 empty file, 1 binary text|training in runs/text"
  mentions out "gzip -9|xz -9|this model|bits per byte|estimate"
  # Lines of equal length: the last tenth of one file is its last 40 lines, of which gzip itself makes as much.
  for i in $(seq 400); do printf 'Line %03d of a text about %05d things.\n' "$i" $((i * 7919 % 99991)); done >even.txt
  runs 0 demo even.txt --minutes 0.03
  local bytes
  bytes=$(tail -n 40 even.txt | gzip -9 -c | wc -c)
  mentions out "gzip -9     $(awk -v b="$bytes" -v n="$(tail -n 40 even.txt | wc -c)" 'BEGIN {printf "%.3f", 8 * b / n}') bits per byte"
}

case_demo_refuses() {
  refuses 1 "minutes|0" "$FRUGAL" demo --minutes 0
  mkdir empty
  refuses 1 "empty|holds no file" "$FRUGAL" demo empty
  runs 1 "$FRUGAL" demo nowhere
  mentions err "nowhere: no such file"
  head -c 4096 /dev/zero >zeros
  runs 1 "$FRUGAL" demo zeros
  mentions err "binary file"
  absent runs
}

case_demo_terminal() {
  need_terminal
  tiny_recipe
  for columns in 80 40; do
    rm -rf runs screen
    { on_screen "/help lists"; sleep 0.5; printf '/quit\n'; sleep 0.5; printf '\004'; } |
      on_terminal $columns "'$FRUGAL'" demo --recipe "$tiny" --documents 2000 --questions 16 --threads 1 --minutes 0.05
    mentions screen "loss|left|exact match|/help lists the commands"
  done
  rm -rf runs
  on_terminal 80 NO_COLOR=1 "'$FRUGAL'" demo --no-chat --recipe "$tiny" --documents 2000 --questions 16 --threads 1 --minutes 0.03 </dev/null
  grep -q "$(printf '\033')\[3[0-9]m" screen && die "colours despite NO_COLOR"
  rm -rf runs
  timeout 60 script -qefc "TERM=dumb '$FRUGAL' demo --recipe '$tiny' --documents 2000 --questions 16 --threads 1 --minutes 0.03" /dev/null </dev/null >screen
  grep -q "$(printf '\033')" screen && die "escape sequences on a dumb terminal"
  mentions screen "exact match"
}
