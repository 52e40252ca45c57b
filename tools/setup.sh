#!/bin/sh
# Installs what is missing on a Debian machine: `sh tools/setup.sh build|run|test|engines|conformance`.
# Prints each thing before it installs it; what is there is left alone. Runs before bun is there,
# hence a shell script. Sources: Debian's packages, the npm registry, crates.io.
set -eu

BUN_VERSION=1.4.5
RUST_MINOR_MIN=85 # the edition of host/Cargo.toml

# What compiling the host needs beside Rust: a C compiler with the static C library.
BUILD_PACKAGES="ca-certificates gcc libc6-dev make"
# `make run`: identifier maps for callers that are not root.
RUN_PACKAGES="uidmap"
# Test programs and root file systems, oracles (libseccomp, schemas, other runtimes and image tools),
# and the virtual machine.
TEST_PACKAGES="attr binutils busybox-static bzip2 cpio crun docker-registry e2fsprogs file
  golang-github-opencontainers-image-spec-dev golang-github-opencontainers-specs-dev
  iproute2 jq kmod libcap2-bin libseccomp-dev linux-libc-dev mmdebstrap openssl podman procps python3-jsonschema
  python3-seccomp qemu-system-x86 runc skopeo strace tar uidmap umoci util-linux util-linux-extra
  xz-utils zstd"

# Engines that drive the runtime in tests. The packages bring services, which a Debian with systemd
# starts; the tests have their own and skip what is not installed.
ENGINE_PACKAGES="containerd containernetworking-plugins docker.io"

# What the suites of others call, beside what the tests have. Their Go and Python are newer than Debian's.
CONFORMANCE_PACKAGES="bats buildah gawk"

cd "$(dirname "$0")/.."

say() {
  printf 'setup: %s\n' "$*"
}

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "Cannot install packages: not root and no sudo. As root, run: $*"
  fi
}

is_installed() {
  dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

# Debian packages: those of the list that are not installed.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here: make sure that these are installed: $*"
    return
  fi
  missing=""
  for name in "$@"; do
    is_installed "$name" || missing="$missing $name"
  done
  [ -n "$missing" ] || return 0
  say "installing the Debian packages$missing"
  refresh_lists
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    -o Dpkg::Use-Pty=0 $missing >.build/apt.log 2>&1 || {
    tail -n 20 .build/apt.log >&2
    fail "Cannot install the Debian packages$missing"
  }
}

# Package lists are read again at most once for a checkout: old ones name files that are gone.
refresh_lists() {
  [ ! -e .build/apt-lists ] || return 0
  say "reading Debian's package lists"
  as_root apt-get update -q >.build/apt.log 2>&1 || {
    tail -n 20 .build/apt.log >&2
    fail "Cannot read Debian's package lists"
  }
  touch .build/apt-lists
}

need_tool() {
  command -v "$1" >/dev/null || fail "Cannot build: $1 is not installed. $2"
}

check_rust() {
  need_tool cargo "Install Rust 1.$RUST_MINOR_MIN or newer"
  minor=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
  [ "${minor:-0}" -ge "$RUST_MINOR_MIN" ] ||
    fail "Cannot build with $(rustc --version): Rust 1.$RUST_MINOR_MIN or newer is needed"
}

# Bun comes as an npm package; a later step of that package puts the program in place.
install_bun() {
  bun=.build/bun/node_modules/.bin/bun
  if [ "$("$bun" --version 2>/dev/null || true)" = "$BUN_VERSION" ]; then return; fi
  need_tool npm "Install Node 18 or newer with npm"
  say "installing bun $BUN_VERSION into .build/bun"
  npm install --prefix .build/bun --no-save --no-package-lock --no-audit --no-fund \
    --ignore-scripts=false --loglevel=error "bun@$BUN_VERSION" >.build/npm.log 2>&1 || {
    tail -n 20 .build/npm.log >&2
    fail "Cannot install bun $BUN_VERSION by npm"
  }
  "$bun" --version >/dev/null 2>&1 || (cd .build/bun/node_modules/bun && node install.js)
  [ "$("$bun" --version)" = "$BUN_VERSION" ] || fail "Cannot run bun $BUN_VERSION on this machine"
}

fetch_crates() {
  cargo fetch --quiet --locked --manifest-path host/Cargo.toml --offline 2>/dev/null && return
  say "fetching the crates of host/Cargo.lock"
  cargo fetch --quiet --locked --manifest-path host/Cargo.toml
}

mkdir -p .build
case "${1:-}" in
build)
  # shellcheck disable=SC2086 # lists of words, here and below
  install_packages $BUILD_PACKAGES
  check_rust
  install_bun
  fetch_crates
  ;;
run)
  # shellcheck disable=SC2086
  install_packages $RUN_PACKAGES
  ;;
test)
  # shellcheck disable=SC2086
  install_packages $TEST_PACKAGES
  # Root file systems and the virtual machine's kernel are made from what the lists name.
  if command -v apt-get >/dev/null; then refresh_lists; fi
  ;;
engines)
  # shellcheck disable=SC2086
  install_packages $ENGINE_PACKAGES
  ;;
conformance)
  # shellcheck disable=SC2086
  install_packages $CONFORMANCE_PACKAGES
  ;;
*)
  fail "want one of: build, run, test, engines, conformance"
  ;;
esac
