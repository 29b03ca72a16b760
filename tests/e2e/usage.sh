# Help, version, wrong usage.

test_help_and_version() {
  local command
  for command in "" train generate eval data "data course" tokenizer "tokenizer train" "tokenizer encode" "tokenizer decode" verify; do
    # shellcheck disable=SC2086
    frugal $command --help >help 2>stderr || die "'$command --help' ends with status $?"
    [ -s help ] && [ ! -s stderr ] || die "'$command --help' does not print to stdout alone"
    has '--help' help
  done
  frugal --version >version
  has '^frugal [0-9]+\.[0-9]+\.[0-9]+$' version
  frugal train --help >help
  for command in hidden_size n_routed_experts learning_rate save_every nano; do has "$command" help; done
}

test_wrong_usage() {
  fails 2 'subcommand is required' frugal
  fails 2 "'frobnicate'" frugal frobnicate
  fails 2 "'--frobnicate'" frugal --frobnicate
  fails 2 "'frobnicate'" frugal data frobnicate
  fails 2 'frobnicate' frugal train --frobnicate
  fails 2 'frobnicate' frugal generate "$run" x --frobnicate
  fails 2 'model is required' frugal generate
  fails 2 'top-k.*abc' frugal generate "$run" x --top-k abc
  fails 2 'threads.*-3' frugal generate "$run" x --threads -3
  fails 2 "seed.*negative" frugal generate "$run" x --seed -1
  fails 2 'documents.*0' frugal data course --out x --documents 0
  fails 2 'vocab-size is required' frugal tokenizer train "$work/tasks.jsonl" --out x
  fails 2 'DIR or --signature' frugal verify
  absent x
}

test_unknown_level() {
  FRUGAL_ISA=sse9 fails 1 "FRUGAL_ISA: unknown level 'sse9'.*scalar" frugal generate "$run" x
}
