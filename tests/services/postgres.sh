# shellcheck shell=bash
# A private PostgreSQL for the tests: its own data, socket and port, gone afterwards. Sourced after machine.sh.
#
# A service is a file like this one with the functions NAME_install, NAME_start, NAME_stop and NAME_kept; `tests/run`
# lists the names. To use a server that runs already, set KABAR_TEST_POSTGRES_URL to a role that may create databases:
# then nothing is installed or started.

postgres_home=
postgres_pid=

# The folder of the server's programs, newest version first.
postgres_programs() {
  local folder
  while read -r folder; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
      printf '%s\n' "$folder"
      return
    fi
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse)
  return 1
}

postgres_install() {
  if [ -n "${KABAR_TEST_POSTGRES_URL:-}" ] || postgres_programs >/dev/null; then
    return
  fi
  # Debian's package makes a cluster and starts it, and starts others that it finds. The programs are all that is wanted
  # here, so both are switched off for as long as the installation takes.
  (
    no_cluster=/etc/postgresql-common/createcluster.d/kabar-tests.conf
    trap 'as_root rm -f "$no_cluster"' EXIT
    as_root mkdir -p "${no_cluster%/*}"
    printf 'create_main_cluster = false\n' | as_root tee "$no_cluster" >/dev/null
    install_unstarted postgresql-15
  )
  postgres_programs >/dev/null
}

# Starts the server and exports KABAR_TEST_POSTGRES_URL. With keep=yes it outlives this shell; otherwise it ends with it,
# even if the shell is killed.
postgres_start() {
  if [ -n "${KABAR_TEST_POSTGRES_URL:-}" ]; then
    say "PostgreSQL: the server of KABAR_TEST_POSTGRES_URL"
    return
  fi
  local programs password attempt port
  programs=$(postgres_programs)
  postgres_home=$(mktemp -d "${TMPDIR:-/tmp}/kabar-postgres.XXXXXX")
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  (umask 077 && printf '%s\n' "$password" >"$postgres_home/password")
  # The server refuses to run as root.
  local as_user=(setpriv)
  if [ "$(id -u)" -eq 0 ]; then
    chown -R postgres: "$postgres_home"
    as_user+=(--reuid=postgres --regid=postgres --clear-groups)
  fi
  # None of the caller's PG* variables may lead it elsewhere.
  local clean=(env --ignore-environment "PATH=$PATH" "HOME=$postgres_home" LC_ALL=C.UTF-8)
  "${as_user[@]}" --no-new-privs "${clean[@]}" "$programs/initdb" --pgdata="$postgres_home/data" --username=kabar \
    --pwfile="$postgres_home/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 \
    --no-sync --no-instructions >"$postgres_home/log" 2>&1 || { postgres_failed; return 1; }
  [ "${keep:-no}" = yes ] || as_user+=(--pdeathsig=INT)
  for attempt in 1 2 3 4 5; do
    port=$(random_port)
    # Another process may still take the port before the server does; it then ends, and another port is tried.
    if [ "$attempt" -eq 1 ] && [ -n "${KABAR_TEST_POSTGRES_PORT:-}" ]; then
      port=$KABAR_TEST_POSTGRES_PORT
    elif ! port_is_free "$port"; then
      continue
    fi
    (
      cd "$postgres_home" || exit
      exec "${as_user[@]}" --no-new-privs "${clean[@]}" "$programs/postgres" -D "$postgres_home/data" -p "$port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories="$postgres_home" -c max_connections=200
    ) </dev/null >>"$postgres_home/log" 2>&1 &
    postgres_pid=$!
    if postgres_is_ready "$programs" "$port"; then
      export KABAR_TEST_POSTGRES_URL="postgres://kabar:$password@127.0.0.1:$port/postgres"
      say "PostgreSQL: $("$programs/postgres" --version), port $port"
      return
    fi
    kill -s KILL "$postgres_pid" 2>/dev/null || true
    wait "$postgres_pid" 2>/dev/null || true
    postgres_pid=
  done
  postgres_failed
  return 1
}

# postgres_is_ready PROGRAMS PORT: waits until the server answers, as long as it runs and at most 30 seconds.
postgres_is_ready() {
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    kill -0 "$postgres_pid" 2>/dev/null || return 1
    # Asked on its own socket: on the port, another server may answer.
    "$1/pg_isready" --quiet --host="$postgres_home" --port="$2" && return 0
    sleep 0.1
  done
  return 1
}

postgres_failed() {
  say "PostgreSQL did not start; the end of its log:"
  tail -n 20 "$postgres_home/log" >&2
}

postgres_stop() {
  if [ -n "$postgres_pid" ]; then
    local signal tries
    # First a fast shutdown, which ends connections; where that takes more than ten seconds, an immediate one.
    for signal in INT QUIT KILL; do
      kill -s "$signal" "$postgres_pid" 2>/dev/null || break
      for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$postgres_pid" 2>/dev/null || break 2
        sleep 0.1
      done
    done
    wait "$postgres_pid" 2>/dev/null || true
    postgres_pid=
  fi
  if [ -n "$postgres_home" ]; then
    rm -rf -- "$postgres_home"
    postgres_home=
  fi
}

# Says how to use and stop a server that was kept.
postgres_kept() {
  [ -n "$postgres_pid" ] || return 0
  say "  export KABAR_TEST_POSTGRES_URL=$KABAR_TEST_POSTGRES_URL"
  say "  stop it: kill -INT $postgres_pid; rm -rf $postgres_home"
}
