# shellcheck shell=bash
# A private server that speaks the protocol of Amazon SQS: ministack, in a Python environment of its own. Sourced after
# machine.sh. It keeps its queues in memory, and they are gone afterwards.
#
# Why this one: it installs from PyPI alone, in seconds, and takes ten thousand items in ten; moto needs minutes for as
# many. It is no SQS: it loses, doubles and disorders nothing, never throttles, counts exactly and purges as often as it is
# asked. What follows from those is tested in shared/queue/src/sqs/tests.
#
# To use a server that runs already, set KABAR_TEST_SQS_URL to its address, http://HOST:PORT: then nothing is installed or
# started. It must take any credentials.

sqs_version=1.5.33
sqs_folder=
sqs_home=
sqs_pid=

sqs_install() {
  [ -z "${KABAR_TEST_SQS_URL:-}" ] || return 0
  sqs_folder=$PWD/target/services/ministack-$sqs_version
  [ ! -e "$sqs_folder/complete" ] || return 0
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3 python3-venv
  fi
  rm -rf -- "$sqs_folder"
  python3 -m venv "$sqs_folder"
  "$sqs_folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "ministack==$sqs_version"
  touch "$sqs_folder/complete"
}

# Starts the server and exports KABAR_TEST_SQS_URL. With keep=yes it outlives this shell; otherwise it ends with it, even if
# the shell is killed.
sqs_start() {
  if [ -n "${KABAR_TEST_SQS_URL:-}" ]; then
    say "Amazon SQS: the server of KABAR_TEST_SQS_URL"
    return
  fi
  sqs_home=$(mktemp -d "${TMPDIR:-/tmp}/kabar-sqs.XXXXXX")
  local attempt port as_child=(setpriv --no-new-privs)
  [ "${keep:-no}" = yes ] || as_child+=(--pdeathsig=TERM)
  for attempt in 1 2 3 4 5; do
    port=$(random_port)
    port_is_free "$port" || continue
    # None of the caller's AWS_* variables may reach it, nor Docker, which it would use for other services.
    (
      cd "$sqs_home" || exit
      exec "${as_child[@]}" env --ignore-environment "PATH=$PATH" "HOME=$sqs_home" LC_ALL=C.UTF-8 \
        DOCKER_HOST=unix:///nonexistent SERVICES=sqs LOG_LEVEL=WARNING BIND_HOST=127.0.0.1 "GATEWAY_PORT=$port" \
        "$sqs_folder/bin/ministack"
    ) </dev/null >>"$sqs_home/log" 2>&1 &
    sqs_pid=$!
    if sqs_is_ready "$port"; then
      export KABAR_TEST_SQS_URL="http://127.0.0.1:$port"
      say "Amazon SQS: ministack $sqs_version, port $port"
      return
    fi
    kill -s KILL "$sqs_pid" 2>/dev/null || true
    wait "$sqs_pid" 2>/dev/null || true
    sqs_pid=
  done
  say "the server for Amazon SQS did not start; the end of its log:"
  tail -n 20 "$sqs_home/log" >&2
  return 1
}

# sqs_is_ready PORT: waits until the server answers, as long as it runs and at most 30 seconds.
sqs_is_ready() {
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    kill -0 "$sqs_pid" 2>/dev/null || return 1
    if ! port_is_free "$1"; then
      # It is this one only if it still runs: where another has the port, it ends.
      sleep 0.2
      kill -0 "$sqs_pid" 2>/dev/null
      return
    fi
    sleep 0.2
  done
  return 1
}

sqs_stop() {
  if [ -n "$sqs_pid" ]; then
    local signal tries
    for signal in TERM KILL; do
      kill -s "$signal" "$sqs_pid" 2>/dev/null || break
      for ((tries = 0; tries < 50; tries++)); do
        kill -0 "$sqs_pid" 2>/dev/null || break 2
        sleep 0.1
      done
    done
    wait "$sqs_pid" 2>/dev/null || true
    sqs_pid=
  fi
  if [ -n "$sqs_home" ]; then
    rm -rf -- "$sqs_home"
    sqs_home=
  fi
}

# Says how to use and stop a server that was kept.
sqs_kept() {
  [ -n "$sqs_pid" ] || return 0
  say "  export KABAR_TEST_SQS_URL=$KABAR_TEST_SQS_URL"
  say "  stop it: kill $sqs_pid; rm -rf $sqs_home"
}
