# The report page, the log lines it needs, TensorBoard's event files.
cases=(report_log report_page report_compare report_errors report_resume report_running tensorboard)

case_report_log() {
  # 4 rows of 32 tokens, 2 experts per token: 256 choices in each of the two layers with experts.
  local line
  [ "$(grep -c '"expert_tokens"' "$base/log.jsonl")" = 10 ] || die "not every tenth step"
  line=$(grep '"expert_tokens"' "$base/log.jsonl" | sed 's/.*"expert_tokens":\[\[\([0-9,]*\)\],.*/\1/' | tail -n 1)
  [ $((${line//,/+})) = 256 ] || die "$line are not 256 tokens"
  # The squares of the parts' norms add up to that of the whole.
  sed -n 's/.*"grad_norm":\([0-9.e-]*\),"grad_norms":\[\([0-9.e,-]*\)\].*/\1 \2/p' "$base/log.jsonl" | tr , ' ' |
    awk '{ s = 0; for (i = 2; i <= NF; ++i) s += $i * $i; d = s / ($1 * $1) - 1; if (d * d > 1e-10 || NF != 6) exit 1 } END { exit NR != 100 }'
  mentions "$base/log.jsonl" '"tokens_per_second":|"peak_share":|"router_bias":[['
  mentions "$base/machine.json" '"cpu"|"peak_flops"|"compiler"|"version"'
  mentions "$base/recipe.toml" 'preset = "nano"'
  # No value depends on the number of threads.
  runs 0 train out=one steps=10 threads=1
  runs 0 train out=three steps=10 threads=3
  diff <(log_values one) <(log_values three)
}

case_report_page() {
  cp -r "$base" run
  rm run/report.html run/report-data.js
  printf '%s\n' 'a sample </script><script>alert(1)</script>' >run/samples/step-00000099.txt
  echo '{"step":5,"lo' >>run/log.jsonl
  echo 'rubbish' >>run/log.jsonl
  runs 0 "$FRUGAL" report run
  [ "$(cat out)" = run/report.html ] || die "prints something else than the page"
  mentions err "run/log.jsonl|2 damaged lines|line 1"
  [ "$(grep -o '</script>' run/report.html | wc -l)" = 2 ] || die "a sample ends the script"
  # Nothing is asked of anybody: the only address is the name of SVG.
  [ "$(grep -oE '(https?:)?//[a-z][a-z0-9.]+[a-z]/' run/report.html | sort -u)" = "http://www.w3.org/" ] || die "an outside address"
  mentions run/report.html '"state":"finished"|"count":2|"steps":100'
  [ "$(size_of run/report.html)" -lt 300000 ] || die "a large page"
  absent run/report.html.tmp run/report-data.js.tmp
}

case_report_compare() {
  cp -r "$base" a
  cp -r "$base" b
  sed -i 's/^learning_rate = .*/learning_rate = 0.5/' b/recipe.toml
  runs 0 "$FRUGAL" report a b --out both.html
  mentions both.html '<title>a, b</title>|"name":"a"|"name":"b"|"key":"learning_rate","value":"0.5"'
  runs 0 "$FRUGAL" report a b
  mentions report.html '<title>a, b</title>|"name":"a"|"name":"b"'
}

case_report_errors() {
  mkdir empty
  refuses 1 "empty|is not a run directory" "$FRUGAL" report empty
  cp "$base/recipe.toml" empty
  refuses 1 "empty|no steps yet" "$FRUGAL" report empty
  refuses 1 "9 runs|at most 8" "$FRUGAL" report a a a a a a a a a
  refuses 2 "runs" "$FRUGAL" report
  cp "$base/log.jsonl" empty
  refuses 1 "absent/page.html" "$FRUGAL" report empty --out absent/page.html
}

# The page of an interrupted run says so; a resumed one ends as finished, with every step once.
case_report_resume() {
  runs 0 train out=whole steps=60 save_every=20
  cp -r whole run
  rm -r run/checkpoints/step-00000040 run/checkpoints/step-00000060
  runs 0 "$FRUGAL" train --resume run
  diff <(log_values whole) <(log_values run)
  diff <(grep -c expert_tokens run/log.jsonl) <(echo 6)
  mentions run/report.html '"state":"finished","step":60,"steps":60'
}

# Made anew beside a trainer that is at work, the page says so; after its death it does not.
case_report_running() {
  local pid
  train out=run steps=1000000 save_every=500000 >out 2>err &
  pid=$!
  wait_for $pid run/log.jsonl
  until [ -s run/log.jsonl ]; do sleep 0.01; done  # it has the lock and is at work
  runs 0 "$FRUGAL" report run --out beside.html
  mentions beside.html '"state":"running"'
  kill_hard $pid
  runs 0 "$FRUGAL" report run --out after.html
  mentions after.html '"state":"stopped"'
}

# step_numbers FILE: the step of every record of an event file, each decoded by protoc.
step_numbers() {
  local at=0 size length
  size=$(size_of "$1")
  while [ $at -lt "$size" ]; do
    length=$(od -An -tu8 -j $at -N 8 "$1" | tr -d ' ')
    tail -c +$((at + 13)) "$1" | head -c "$length" | protoc --decode_raw >record || die "record at $at is no protobuf message"
    sed -n 's/^2: //p' record
    at=$((at + length + 16))
  done
  [ $at = "$size" ] || die "the last record is cut off"
}
case_tensorboard() {
  command -v protoc >/dev/null || skip "protoc is not installed (package protobuf-compiler)"
  local file
  runs 0 train out=run steps=8 save_every=4 eval_every=4 tensorboard=true
  file=$(echo run/tensorboard/events.out.tfevents.*)
  step_numbers "$file" | uniq -c >steps
  awk '{ print $2 }' steps | diff - <(seq 8)
  awk '$1 != ($2 % 4 == 0 ? 2 : 1) { exit 1 }' steps
  mentions record '1: "validation/loss"|1: "validation/mtp_acceptance"'
  rm -r run/checkpoints/step-00000008
  printf 'torn' >>"$file"
  runs 0 "$FRUGAL" train --resume run
  step_numbers "$file" | uniq -c | diff steps -
  [ "$(ls run/tensorboard | wc -l)" = 1 ] || die "a second file"
  [ ! -e "$base/tensorboard" ] || die "written without being asked"
}
