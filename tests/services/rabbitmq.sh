# shellcheck shell=bash
# A private RabbitMQ for the tests: its own node name, cookie, data, logs and ports, gone afterwards. Sourced after
# machine.sh.
#
# To use a broker that runs already, set KABAR_TEST_RABBITMQ_URL to a user that may make exchanges and queues: then none
# is started. Tests that kill a broker start one of their own all the same, by `rabbitmq_furnish` and `rabbitmq_node`.

rabbitmq_home=
rabbitmq_pid=
rabbitmq_epmd_pid=

# The folder of the server's own scripts, newest version first. Debian's wrappers around them change user and folder.
rabbitmq_programs() {
  local folder
  while read -r folder; do
    if [ -x "$folder/rabbitmq-server" ] && [ -x "$folder/rabbitmqctl" ]; then
      printf '%s\n' "$folder"
      return
    fi
  done < <(printf '%s\n' /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin | sort --version-sort --reverse)
  return 1
}

rabbitmq_install() {
  if rabbitmq_programs >/dev/null && command -v epmd >/dev/null; then
    return
  fi
  # Debian's package starts a broker of its own. The programs are all that is wanted here, so that is switched off for as
  # long as the installation takes.
  (
    no_start=/usr/sbin/policy-rc.d
    if [ ! -e "$no_start" ]; then
      # shellcheck disable=SC2064 # the name is meant as it is now
      trap "as_root rm -f $no_start" EXIT
      printf '#!/bin/sh\nexit 101\n' | as_root tee "$no_start" >/dev/null
      as_root chmod 755 "$no_start"
    fi
    install_packages rabbitmq-server
  )
  rabbitmq_programs >/dev/null
}

# rabbitmq_furnish HOME PASSWORD [TLS_PORT]: what a node finds in its folder: one user, kabar, and no plugins; with
# TLS_PORT, also a certificate by an authority of its own, ca.pem.
rabbitmq_furnish() (
  umask 077
  printf 'default_user = kabar\ndefault_pass = %s\n' "$2" >"$1/rabbitmq.conf"
  printf '[].\n' >"$1/plugins"
  od -An -N20 -tx1 /dev/urandom | tr -d ' \n' >"$1/.erlang.cookie"
  # Erlang takes no cookie that others could read or its owner change.
  chmod 400 "$1/.erlang.cookie"
  [ -n "${3:-}" ] || return 0
  cd "$1"
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 2 -subj '/CN=kabar tests'
  openssl req "${key[@]}" -keyout node.key -out node.request -subj '/CN=localhost' \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  openssl x509 -req -in node.request -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out node.pem
  printf '%s\n' "listeners.ssl.1 = 127.0.0.1:$3" "ssl_options.cacertfile = $1/ca.pem" \
    "ssl_options.certfile = $1/node.pem" "ssl_options.keyfile = $1/node.key" >>rabbitmq.conf
)

# rabbitmq_node HOME PORT DISTRIBUTION_PORT EPMD_PORT COMMAND…: becomes `rabbitmq-server`, `rabbitmqctl` or `epmd` as one
# node sees the world: what another broker on this machine uses is out of its sight.
rabbitmq_node() {
  local home=$1 port=$2 distribution=$3 epmd=$4 programs
  shift 4
  programs=$(rabbitmq_programs)
  # None of the caller's RABBITMQ_* or ERL_* variables may lead it elsewhere. Input is allowed to the start script and
  # then not taken: otherwise a shell stays between us and the node, and a signal would end that alone.
  local clean=(env --ignore-environment "PATH=$programs:$PATH" "HOME=$home" LANG=C.UTF-8 LC_ALL=C.UTF-8
    "ERL_EPMD_PORT=$epmd" ERL_EPMD_ADDRESS=127.0.0.1
    "RABBITMQ_NODENAME=kabar-$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 "RABBITMQ_NODE_PORT=$port"
    "RABBITMQ_DIST_PORT=$distribution" "RABBITMQ_MNESIA_BASE=$home/data" "RABBITMQ_LOG_BASE=$home/log"
    "RABBITMQ_CONF_ENV_FILE=$home/none" "RABBITMQ_CONFIG_FILE=$home/rabbitmq"
    "RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins" "RABBITMQ_PID_FILE=$home/pid" RABBITMQ_ALLOW_INPUT=true
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}")
  cd "$home"
  exec "${clean[@]}" "$@"
}

# Starts a broker and exports KABAR_TEST_RABBITMQ_URL. With keep=yes it outlives this shell; otherwise it ends with it,
# even if the shell is killed.
rabbitmq_start() {
  if [ -n "${KABAR_TEST_RABBITMQ_URL:-}" ]; then
    say "RabbitMQ: the broker of KABAR_TEST_RABBITMQ_URL"
    return
  fi
  local password attempt port distribution epmd
  rabbitmq_home=$(mktemp -d "${TMPDIR:-/tmp}/kabar-rabbitmq.XXXXXX")
  password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  rabbitmq_furnish "$rabbitmq_home" "$password"
  local bound=()
  [ "${keep:-no}" = yes ] || bound=(setpriv --pdeathsig=KILL)
  for attempt in 1 2 3 4 5; do
    # Another process may still take a port before the broker does; it then ends, and others are tried.
    port=$(random_port) distribution=$(random_port) epmd=$(random_port)
    if ! port_is_free "$port" || ! port_is_free "$distribution" || ! port_is_free "$epmd"; then
      continue
    fi
    (rabbitmq_node "$rabbitmq_home" "$port" "$distribution" "$epmd" "${bound[@]}" epmd) \
      </dev/null >>"$rabbitmq_home/output" 2>&1 &
    rabbitmq_epmd_pid=$!
    (rabbitmq_node "$rabbitmq_home" "$port" "$distribution" "$epmd" "${bound[@]}" rabbitmq-server) \
      </dev/null >>"$rabbitmq_home/output" 2>&1 &
    rabbitmq_pid=$!
    if rabbitmq_is_ready "$port"; then
      export KABAR_TEST_RABBITMQ_URL="amqp://kabar:$password@127.0.0.1:$port"
      say "RabbitMQ: $(basename "$(dirname "$(rabbitmq_programs)")"), port $port"
      return
    fi
    rabbitmq_kill
  done
  say "RabbitMQ did not start; the end of what it said:"
  tail -n 20 "$rabbitmq_home/output" >&2
  return 1
}

# rabbitmq_is_ready PORT: waits until the broker listens, which it does last, as long as it runs and at most a minute.
rabbitmq_is_ready() {
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$rabbitmq_pid" 2>/dev/null || return 1
    # On the port alone, another server may answer.
    if [ -s "$rabbitmq_home/pid" ] && ! port_is_free "$1"; then
      return 0
    fi
    sleep 0.1
  done
  return 1
}

# Its data goes with it, so there is nothing to end in good order.
rabbitmq_kill() {
  local pid
  for pid in $rabbitmq_pid $rabbitmq_epmd_pid; do
    kill -s KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rabbitmq_pid=
  rabbitmq_epmd_pid=
}

rabbitmq_stop() {
  rabbitmq_kill
  if [ -n "$rabbitmq_home" ]; then
    rm -rf -- "$rabbitmq_home"
    rabbitmq_home=
  fi
}

# Says how to use and stop a broker that was kept.
rabbitmq_kept() {
  [ -n "$rabbitmq_pid" ] || return 0
  say "  export KABAR_TEST_RABBITMQ_URL=$KABAR_TEST_RABBITMQ_URL"
  say "  stop it: kill -KILL $rabbitmq_pid $rabbitmq_epmd_pid; rm -rf $rabbitmq_home"
}
