# shellcheck shell=bash
# A private PgBouncer in transaction mode before the PostgreSQL of the tests. Sourced after postgres.sh, started after it.
#
# To use a pooler that runs already, set KABAR_TEST_POOLER_URL: the server behind it must be that of
# KABAR_TEST_POSTGRES_URL, and it must let in whatever databases the tests make there.

# TERM ends it at once: nobody waits for its clients any more.
service pgbouncer PgBouncer KABAR_TEST_POOLER_URL 1 10 TERM KILL

# The user, password, host and port of the server behind it.
pgbouncer_server=()

# Debian keeps it where only root looks.
pgbouncer_program() { PATH="$PATH:/usr/sbin" command -v pgbouncer; }

pgbouncer_install() {
  if service_is_given pgbouncer || pgbouncer_program >/dev/null; then
    return
  fi
  install_unstarted pgbouncer
  # Nor is it to start with the machine.
  as_root systemctl disable --quiet pgbouncer 2>/dev/null || true
  pgbouncer_program >/dev/null
}

pgbouncer_prepare() {
  if [[ ! $KABAR_TEST_POSTGRES_URL =~ ^postgres(ql)?://([^:@/]+):([^@/]+)@([^:/]+)(:([0-9]+))?/ ]]; then
    say "PgBouncer: KABAR_TEST_POSTGRES_URL is not postgres://USER:PASSWORD@HOST:PORT/NAME; set KABAR_TEST_POOLER_URL, too"
    return 1
  fi
  pgbouncer_server=("${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}" "${BASH_REMATCH[4]}" "${BASH_REMATCH[6]:-5432}")
  (umask 077 && printf '"%s" "%s"\n' "${pgbouncer_server[@]:0:2}" >"$1/users")
  give_to_postgres "$1"
}

pgbouncer_launch() {
  # A few sessions for many clients, so that no client finds again what it left in one.
  cat >"$1/pgbouncer.ini" <<END
[databases]
* = host=${pgbouncer_server[2]} port=${pgbouncer_server[3]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $2
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $1/users
pool_mode = transaction
default_pool_size = 5
max_client_conn = 2000
server_idle_timeout = 5
autodb_idle_timeout = 5
log_connections = 0
log_disconnections = 0
END
  # It refuses to run as root, too.
  launch_as_postgres pgbouncer "$(pgbouncer_program)" "$1/pgbouncer.ini"
}

pgbouncer_is_ready() { ! port_is_free "$2"; }

pgbouncer_url() { printf 'postgres://%s:%s@127.0.0.1:%s/postgres\n' "${pgbouncer_server[@]:0:2}" "$2"; }

pgbouncer_version() { "$(pgbouncer_program)" --version | head -n 1; }
