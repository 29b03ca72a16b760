# Chat over lines and on a pseudo-terminal, exactness, and the exam.
cases=(chat_lines chat_same_answers chat_commands chat_context chat_save chat_exact chat_refuses chat_thinking chat_terminal chat_ctrl_c
  eval_course eval_refuses)

# say LINE...: the lines as a chat's input; answers in ./out, what is said about them in ./err.
say() { printf '%s\n' "$@" | "$FRUGAL" chat "$base" --temperature 0 -n 12 >out 2>err; }
# (exec: a shell that stays would die of the Ctrl-C itself.)
# on_terminal COLUMNS COMMAND: a shell command line on a pseudo-terminal; keys come from stdin, the screen goes to ./screen.
on_terminal() {
  local columns=$1
  shift
  timeout 60 script -qefc "stty cols $columns rows 40; exec env TERM=xterm LC_ALL=C.UTF-8 $*" /dev/null >screen
}
need_terminal() { command -v script >/dev/null || skip "no \`script\` command for a pseudo-terminal"; }

# on_screen TEXT: waits until the screen shows it; keys that come too early meet no editor. Gives up after half a minute.
on_screen() {
  local tries=0
  until grep -qF -e "$1" screen 2>/dev/null || [ $((tries += 1)) -gt 300 ]; do sleep 0.1; done
}

case_chat_lines() {
  say "What is 1 + 1?" "And 2?"
  [ "$(wc -l <out)" -ge 2 ] || die "not two answers"
  mentions err "12 tokens|tok/s|from the cache"
  [ "$(grep -c 'tok/s' err)" = 2 ] || die "not two lines about two answers"
  grep -qE ', 0 of them from the cache' err && grep -qE ', [1-9][0-9]* of them from the cache' err ||
    { cat err; die "the second turn does not use the cache"; }
}

case_chat_same_answers() {
  say "Hello" "/clear" "Hello"
  [ "$(sed -n 1p out)" = "$(sed -n 2p out)" ] || { cat out; die "the same question has two answers"; }
  say "Hello" "/retry"
  [ "$(sed -n 1p out)" = "$(sed -n 2p out)" ] || { cat out; die "/retry at temperature 0 differs"; }
}

case_chat_commands() {
  say "/help" "/set temperature=0.5" "/set" "/probs" "Hello" "/system Be brief." "/quit" "never read"
  mentions err "/quiz|/exact|temperature=0.5|shaded|under this system message"
  grep -q '%\]' out || { cat out; die "/probs shows no probability"; }
  say "/frobnicate" "/set temperature=hot" "/set colour=1" "/set top_p=2" "/retry" "/quiz many" "/save" "Hello"
  [ "$(grep -c '^error: ' err)" = 7 ] || { cat err; die "not seven errors"; }
  mentions err "/frobnicate|temperature=hot|colour|top_p|no answer yet|many|names no file"
  [ "$(wc -l <out)" -ge 1 ] || die "the chat did not go on"
}

# The fixture's context has 64 positions.
case_chat_context() {
  say "one two three" "four five six" "seven eight nine" "ten eleven"
  mentions err "the context was full"
  say "$(printf 'word %.0s' $(seq 60))" "Hello"
  mentions err "do not fit the context of 64"
  [ "$(wc -l <out)" -ge 1 ] || die "the chat did not go on"
}

case_chat_save() {
  say "Hello" "/save talk.json" "/save talk.json"
  mentions talk.json '{"messages":[{"role":"user","content":"Hello"},{"role":"assistant"'
  mentions err "wrote talk.json|exists already"
}

case_chat_exact() {
  say "What is 1 + 1?" "And 2?" "" "/retry" "/exact"
  grep -qE 'training forward: 0 of [1-9][0-9]* bits differ \(3 answers\)' out || { cat out; die "not exact"; }
}

case_chat_refuses() {
  refuses 1 "nowhere" "$FRUGAL" chat nowhere
  refuses 1 "temperature" "$FRUGAL" chat "$base" --temperature -1
  refuses 1 "ctx-size|64" "$FRUGAL" chat "$base" -c 65
  refuses 1 "precision" "$FRUGAL" chat "$base" --precision fp8
  refuses 2 "model" "$FRUGAL" chat
}

# with_template JINJA: ./model, the fixture under another chat template.
with_template() {
  rm -rf model
  cp -r "$checkpoint" model
  printf '%s' "$1" >model/chat_template.jinja
}
# prompt_of THINKING...: tokens of the prompt of one question to ./model.
prompt_of() {
  printf 'Hello\n' | "$FRUGAL" chat model --temperature 0 -n 2 "$@" 2>err >out || { cat err; die "chat failed"; }
  grep -oE 'prompt [0-9]+' err | grep -oE '[0-9]+'
}

case_chat_thinking() {
  refuses 1 "thinking|DeepSeek-V" "$FRUGAL" chat "$base" --thinking on
  refuses 1 "thinking|maybe" "$FRUGAL" chat "$base" --thinking maybe
  runs 0 "$FRUGAL" chat "$base" --thinking off
  with_template "{{'<｜User｜>'}}{{'<｜Assistant｜>'}} split('</think>')"
  local plain thinking
  plain=$(prompt_of)
  thinking=$(prompt_of --thinking on)
  [ "$plain" = "$(prompt_of --thinking off)" ] && [ "$thinking" -gt "$plain" ] || die "R1: prompts of $plain and $thinking tokens"
  runs 0 "$FRUGAL" inspect model
  mentions out "DeepSeek-R1"
  with_template "{{'<｜User｜>'}}{{'<｜Assistant｜></think>'}}"
  [ "$(prompt_of)" != "$plain" ] || die "V3.1: no </think>"
  with_template "{{'<｜DSML｜'}}"
  refuses 1 "DSML" "$FRUGAL" chat model
  runs 0 "$FRUGAL" generate model Hello -n 2
}

case_chat_terminal() {
  need_terminal
  # An empty line, then a question corrected with the backspace key, then the end of input.
  { on_screen "/help lists"; sleep 0.5; printf '\n'; on_screen "tok/s"; sleep 0.5; printf 'Hellp\177o\n'; sleep 1; printf '/exact\n'
    on_screen "bits differ"; sleep 0.5; printf '\004'; } |
    on_terminal 80 "$FRUGAL" chat "$base" --temperature 0 -n 12
  mentions screen "/help lists the commands|the solver says|0 of"
  [ "$(grep -c 'tok/s' screen)" = 2 ] || { cat -v screen; die "not two answers"; }
}

# Ctrl-C while an answer streams stops the answer; at the prompt it drops the line. The program goes on.
case_chat_ctrl_c() {
  need_terminal
  { on_screen "/help lists"; sleep 0.5; printf 'half a line\003'; sleep 0.5; printf '/set\n'; on_screen "temperature="; sleep 0.5
    printf '\004'; } |
    on_terminal 80 "$FRUGAL" chat "$base" --temperature 0
  mentions screen "temperature=0 "
}

case_eval_course() {
  runs 0 "$FRUGAL" eval "$base" --tasks course --limit 16 --nearest "$tasks" --log-samples samples.jsonl
  mentions out "exam, held out|chance|nearest|logic|exact match|/16)"
  [ "$(wc -l <samples.jsonl)" = 16 ] || die "not 16 samples"
  cp out first
  runs 0 "$FRUGAL" eval "$base" --limit 16 --nearest "$tasks" --parallel 3 --threads 2
  same first out
}

case_eval_refuses() {
  runs 0 "$FRUGAL" eval "$base" --limit 4 --attention absorbed --cache fp8
  refuses 1 "--attention|folded|expanded or absorbed" "$FRUGAL" eval "$base" --limit 4 --attention folded
  refuses 1 "tasks|mmlu" "$FRUGAL" eval "$base" --tasks mmlu
  refuses 2 "limit" "$FRUGAL" eval "$base" --limit 0
  echo plain text >book.txt
  runs 1 "$FRUGAL" eval "$base" --limit 8 --nearest book.txt
  mentions err "book.txt|is not a question and its answer"
}
