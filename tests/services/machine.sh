# shellcheck shell=bash
# What the other scripts need of the machine: root rights, packages, the Rust toolchain, free ports, passwords.
# Sourced, not run.

say() { printf '%s\n' "$*" >&2; }

# as_root COMMAND…: runs it as root, through sudo where this is another user.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "root or sudo is needed for: $*"
    return 1
  fi
}

# Brings apt's list of packages up to date, once.
packages_listed=no
list_packages() {
  if [ "$packages_listed" = no ]; then
    as_root apt-get update --quiet --quiet
    packages_listed=yes
  fi
}

# install_packages PACKAGE…: Debian packages, without what they only recommend.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "this is no Debian: install these yourself and run again: $*"
    return 1
  fi
  list_packages
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends "$@"
}

# install_unstarted PACKAGE…: the same for packages with a service, which Debian would start at once.
install_unstarted() (
  no_start=/usr/sbin/policy-rc.d
  if [ ! -e "$no_start" ]; then
    trap 'as_root rm -f "$no_start"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_start" >/dev/null
    as_root chmod 755 "$no_start"
  fi
  install_packages "$@"
)

# python_packages FOLDER REQUIREMENTS [OPTION…]: an environment of Python's own with these packages, made anew where they have
# changed. The options are those of pip.
python_packages() {
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3 python3-venv
  fi
  if ! cmp --quiet "$2" "$1/installed"; then
    rm -rf -- "$1"
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "${@:3}" --requirement "$2"
    cp "$2" "$1/installed"
  fi
}

# node_package FOLDER NAME@VERSION: a package of npm's, with what it needs, made anew where it is another.
node_package() {
  [ "$(cat "$1/installed" 2>/dev/null)" != "$2" ] || return 0
  rm -rf -- "$1"
  mkdir -p "$1"
  npm install --silent --no-package-lock --no-save --prefix "$1" "$2"
  printf '%s' "$2" >"$1/installed"
}

# Puts rustup's cargo on the path of a shell that has not read its profile.
find_cargo() {
  local tools="${CARGO_HOME:-$HOME/.cargo}/bin"
  if ! command -v cargo >/dev/null && [ -x "$tools/cargo" ]; then
    PATH="$tools:$PATH"
  fi
  if ! command -v cargo >/dev/null; then
    say "cargo is missing: install a Rust toolchain (https://rustup.rs) and run again"
    return 1
  fi
}

# What building and checking need besides cargo: a linker, certificates to download crates with, rustfmt and clippy.
toolchain_install() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc)
  [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
  fi
  find_cargo
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    rustup component add rustfmt clippy
  fi
}

# A port below those that the system gives to outgoing connections, so that none of them can take it in between.
random_port() { printf '%d\n' $((20000 + RANDOM % 12000)); }

# port_is_free PORT: whether nothing listens there on loopback.
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports COUNT: as many that nothing listens on, in one line.
free_ports() {
  local found=() port
  while [ "${#found[@]}" -lt "$1" ]; do
    port=$(random_port)
    if [[ " ${found[*]} " != *" $port "* ]] && port_is_free "$port"; then
      found+=("$port")
    fi
  done
  printf '%s\n' "${found[*]}"
}

# 32 hexadecimal digits.
random_password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
