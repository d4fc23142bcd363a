# shellcheck shell=bash
# A private PgBouncer in transaction mode before the PostgreSQL of the tests. Sourced after postgres.sh, started after it.
#
# To use a pooler that runs already, set KABAR_TEST_POOLER_URL: the server behind it must be that of
# KABAR_TEST_POSTGRES_URL, and it must let in whatever databases the tests make there.

pgbouncer_home=
pgbouncer_pid=

# Debian keeps it where only root looks.
pgbouncer_program() { PATH="$PATH:/usr/sbin" command -v pgbouncer; }

pgbouncer_install() {
  if [ -n "${KABAR_TEST_POOLER_URL:-}" ] || pgbouncer_program >/dev/null; then
    return
  fi
  install_unstarted pgbouncer
  # Nor is it to start with the machine.
  as_root systemctl disable --quiet pgbouncer 2>/dev/null || true
  pgbouncer_program >/dev/null
}

# Starts it and exports KABAR_TEST_POOLER_URL. With keep=yes it outlives this shell; otherwise it ends with it.
pgbouncer_start() {
  if [ -n "${KABAR_TEST_POOLER_URL:-}" ]; then
    say "PgBouncer: the pooler of KABAR_TEST_POOLER_URL"
    return
  fi
  local program attempt port
  program=$(pgbouncer_program)
  if [[ ! $KABAR_TEST_POSTGRES_URL =~ ^postgres(ql)?://([^:@/]+):([^@/]+)@([^:/]+)(:([0-9]+))?/ ]]; then
    say "PgBouncer: KABAR_TEST_POSTGRES_URL is not postgres://USER:PASSWORD@HOST:PORT/NAME; set KABAR_TEST_POOLER_URL, too"
    return 1
  fi
  local user=${BASH_REMATCH[2]} password=${BASH_REMATCH[3]} host=${BASH_REMATCH[4]} server_port=${BASH_REMATCH[6]:-5432}
  pgbouncer_home=$(mktemp -d "${TMPDIR:-/tmp}/kabar-pgbouncer.XXXXXX")
  (umask 077 && printf '"%s" "%s"\n' "$user" "$password" >"$pgbouncer_home/users")
  local as_user=(setpriv)
  if [ "$(id -u)" -eq 0 ]; then
    # It refuses to run as root.
    chown -R postgres: "$pgbouncer_home"
    as_user+=(--reuid=postgres --regid=postgres --clear-groups)
  fi
  [ "${keep:-no}" = yes ] || as_user+=(--pdeathsig=TERM)
  for attempt in 1 2 3 4 5; do
    port=$(random_port)
    port_is_free "$port" || continue
    # A few sessions for many clients, so that no client finds again what it left in one.
    cat >"$pgbouncer_home/pgbouncer.ini" <<END
[databases]
* = host=$host port=$server_port
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $pgbouncer_home/users
pool_mode = transaction
default_pool_size = 5
max_client_conn = 2000
server_idle_timeout = 5
autodb_idle_timeout = 5
log_connections = 0
log_disconnections = 0
END
    "${as_user[@]}" --no-new-privs "$program" "$pgbouncer_home/pgbouncer.ini" \
      </dev/null >>"$pgbouncer_home/log" 2>&1 &
    pgbouncer_pid=$!
    if pgbouncer_is_ready "$port"; then
      export KABAR_TEST_POOLER_URL="postgres://$user:$password@127.0.0.1:$port/postgres"
      say "PgBouncer: $("$program" --version | head -n 1), port $port (attempt $attempt)"
      return
    fi
    kill -s KILL "$pgbouncer_pid" 2>/dev/null || true
    wait "$pgbouncer_pid" 2>/dev/null || true
    pgbouncer_pid=
  done
  say "PgBouncer did not start; the end of its log:"
  tail -n 20 "$pgbouncer_home/log" >&2
  return 1
}

# pgbouncer_is_ready PORT: waits until it listens, as long as it runs and at most 10 seconds. It ends where another
# process has the port.
pgbouncer_is_ready() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    sleep 0.1
    kill -0 "$pgbouncer_pid" 2>/dev/null || return 1
    port_is_free "$1" || return 0
  done
  return 1
}

pgbouncer_stop() {
  if [ -n "$pgbouncer_pid" ]; then
    # At once: nobody waits for its clients any more.
    kill -s TERM "$pgbouncer_pid" 2>/dev/null || true
    wait "$pgbouncer_pid" 2>/dev/null || true
    pgbouncer_pid=
  fi
  if [ -n "$pgbouncer_home" ]; then
    rm -rf -- "$pgbouncer_home"
    pgbouncer_home=
  fi
}

# Says how to use and stop one that was kept.
pgbouncer_kept() {
  [ -n "$pgbouncer_pid" ] || return 0
  say "  export KABAR_TEST_POOLER_URL=$KABAR_TEST_POOLER_URL"
  say "  stop it: kill -TERM $pgbouncer_pid; rm -rf $pgbouncer_home"
}
