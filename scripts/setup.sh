# Sourced by ./demo and ./test: installs the packages that the build needs (Debian 12, Ubuntu 24.04) and defines
# build_preset. Nothing is installed when everything is there.
packages="g++ cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev
libpcre2-dev libxxhash-dev libgtest-dev"

missing_packages() {
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || echo "$p"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "Not a Debian-like system: install a C++20 compiler, CMake >= 3.25, Ninja, fmt, spdlog, nlohmann-json, toml++," \
      "CLI11, PCRE2, xxHash and GoogleTest by hand." >&2
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

# build_preset PRESET [TARGET...]: configures once, then builds; output only when something fails.
build_preset() {
  local preset=$1 log
  shift
  log="build/$preset.log"
  mkdir -p build
  if ! { cmake --preset "$preset" && cmake --build --preset "$preset" ${1:+--target "$@"}; } >"$log" 2>&1; then
    grep -E 'error|warning|Error|FAILED' "$log" | head -40 >&2
    echo "The build failed; the whole log is $log" >&2
    return 1
  fi
}
