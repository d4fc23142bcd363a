# shellcheck shell=bash
# A private PostgreSQL for the tests: its own data, socket and port. Sourced after service.sh.
#
# It leaves flushing to the system, which no test pulls the plug of: each of a thousand ledgers is a database of its own, and
# making one waits for the disk. Benchmarks say postgres_fsync=on.
#
# To use a server that runs already, set KABAR_TEST_POSTGRES_URL to a role that may create databases.

# INT is a fast shutdown, which ends connections; where that takes too long, QUIT is an immediate one.
service postgres PostgreSQL KABAR_TEST_POSTGRES_URL 1 30 INT QUIT KILL

# It refuses to run as root, and then becomes the user of Debian's package: options of setpriv.
postgres_user=()
[ "$(id -u)" -ne 0 ] || postgres_user=(--reuid=postgres --regid=postgres --clear-groups)

# Begins its commands; set once its folder is there.
postgres_clean=()

# give_to_postgres FOLDER: makes it that user's.
give_to_postgres() { [ "$(id -u)" -ne 0 ] || chown -R postgres: "$1"; }

# launch_as_postgres NAME COMMAND…: `launch` as that user.
launch_as_postgres() { launch "$1" "${postgres_user[@]}" "${@:2}"; }

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
  if service_is_given postgres; then
    return
  fi
  if postgres_programs >/dev/null; then
    return
  fi
  # Debian's package makes a cluster. The programs are all that is wanted here, so that is switched off for as long as the
  # installation takes.
  (
    no_cluster=/etc/postgresql-common/createcluster.d/kabar-tests.conf
    trap 'as_root rm -f "$no_cluster"' EXIT
    as_root mkdir -p "${no_cluster%/*}"
    printf 'create_main_cluster = false\n' | as_root tee "$no_cluster" >/dev/null
    install_unstarted postgresql-15
  )
  postgres_programs >/dev/null
}

postgres_prepare() {
  (umask 077 && random_password >"$1/password")
  give_to_postgres "$1"
  # None of the caller's PG* variables may lead it elsewhere.
  postgres_clean=(env --ignore-environment "PATH=$(postgres_programs):$PATH" "HOME=$1" LC_ALL=C.UTF-8)
  (
    cd "$1"
    setpriv --no-new-privs "${postgres_user[@]}" "${postgres_clean[@]}" initdb --pgdata=data --username=kabar \
      --pwfile=password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync --no-instructions
  ) >"$1/output" 2>&1 || { service_failed postgres; return 1; }
}

postgres_launch() {
  launch_as_postgres postgres "${postgres_clean[@]}" postgres -D "$1/data" -p "$2" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories="$1" -c max_connections=200 \
    -c shared_preload_libraries="${postgres_libraries:-}" -c fsync="${postgres_fsync:-off}"
}

# Asked on its own socket: on the port, another server may answer.
postgres_is_ready() { "$(postgres_programs)/pg_isready" --quiet --host="$1" --port="$2"; }

postgres_url() { printf 'postgres://kabar:%s@127.0.0.1:%s/postgres\n' "$(<"$1/password")" "$2"; }

postgres_version() { "$(postgres_programs)/postgres" --version; }
