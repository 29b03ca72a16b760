# Sourced by ./demo and ./test: installs the packages that the build needs (Debian 12, Ubuntu 24.04) and defines
# build_preset. Nothing is installed when everything is there.
packages="g++ cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev
libpcre2-dev libxxhash-dev libedit-dev zlib1g-dev libzstd-dev liblzma-dev libgtest-dev"

missing_packages() {
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || echo "$p"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian-like system: install a C++20 compiler, CMake >= 3.25, Ninja, fmt, spdlog, nlohmann-json, toml++," \
      "CLI11, PCRE2, xxHash, libedit, zlib, zstd, liblzma and GoogleTest by hand." >&2
    return 0
  fi
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  echo "Installing:" $missing >&2
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
}

# build_progress: passes ninja's status on: one line that changes on a terminal, every 20 seconds elsewhere.
build_progress() {
  local line last=-20
  while IFS= read -r line; do
    case $line in "[0/"*) continue ;; "["*) ;; *) continue ;; esac
    if [ -t 2 ]; then
      printf '\r\033[K%.70s' "$line" >&2
    elif [ $((SECONDS - last)) -ge 20 ]; then
      last=$SECONDS
      echo "$line" >&2
    fi
  done
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

# build_preset PRESET [TARGET...]: configures once, then builds; output only when something fails. show_build=1: progress.
build_preset() {
  local preset=$1 log
  shift
  log="build/$preset.log"
  mkdir -p build
  if ! (
    set -o pipefail
    cmake --preset "$preset" >"$log" 2>&1 || exit 1
    NINJA_STATUS='[%f/%t, %e s] ' cmake --build --preset "$preset" ${1:+--target "$@"} 2>&1 | tee -a "$log" |
      if [ "${show_build:-0}" = 1 ]; then build_progress; else cat >/dev/null; fi
  ); then
    grep -E 'error|warning|Error|FAILED' "$log" | head -40 >&2
    echo "The build failed; the whole log is $log" >&2
    return 1
  fi
}
