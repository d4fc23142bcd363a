# shellcheck shell=bash
# A private RabbitMQ for the tests: its own node name, cookie, data, logs and ports. Sourced after service.sh.
#
# To use a broker that runs already, set KABAR_TEST_RABBITMQ_URL to a user that may make exchanges and queues. Tests that
# kill a broker start one of their own all the same, by `rabbitmq_furnish` and `rabbitmq_node`.

# Its ports are those of the broker, of its distribution and of the port mapper. Its data goes with it, so there is nothing
# to end in good order.
service rabbitmq RabbitMQ KABAR_TEST_RABBITMQ_URL 3 60 KILL

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
  install_unstarted rabbitmq-server
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
  cd "$1" || exit
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  openssl req -x509 "${key[@]}" -keyout ca.key -out ca.pem -days 2 -subj '/CN=kabar tests'
  openssl req "${key[@]}" -keyout node.key -out node.request -subj '/CN=localhost' \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  openssl x509 -req -in node.request -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days 2 -out node.pem
  printf '%s\n' "listeners.ssl.1 = 127.0.0.1:$3" "ssl_options.cacertfile = $1/ca.pem" \
    "ssl_options.certfile = $1/node.pem" "ssl_options.keyfile = $1/node.key" >>rabbitmq.conf
)

# Begins the commands of a node; set by `rabbitmq_environment`.
rabbitmq_clean=()

# rabbitmq_environment HOME PORT DISTRIBUTION_PORT EPMD_PORT: has `rabbitmq_clean` begin the commands of one node, so that
# what another broker on this machine uses is out of their sight.
rabbitmq_environment() {
  local home=$1 port=$2 distribution=$3 epmd=$4 programs
  programs=$(rabbitmq_programs)
  # None of the caller's RABBITMQ_* or ERL_* variables may lead it elsewhere. Input is allowed to the start script and
  # then not taken: otherwise a shell stays between us and the node, and a signal would end that alone.
  rabbitmq_clean=(env --ignore-environment "PATH=$programs:$PATH" "HOME=$home" LANG=C.UTF-8 LC_ALL=C.UTF-8
    "ERL_EPMD_PORT=$epmd" ERL_EPMD_ADDRESS=127.0.0.1
    "RABBITMQ_NODENAME=kabar-$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 "RABBITMQ_NODE_PORT=$port"
    "RABBITMQ_DIST_PORT=$distribution" "RABBITMQ_MNESIA_BASE=$home/data" "RABBITMQ_LOG_BASE=$home/log"
    "RABBITMQ_CONF_ENV_FILE=$home/none" "RABBITMQ_CONFIG_FILE=$home/rabbitmq"
    "RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins" "RABBITMQ_PID_FILE=$home/pid" RABBITMQ_ALLOW_INPUT=true
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}")
}

# rabbitmq_node HOME PORT DISTRIBUTION_PORT EPMD_PORT COMMAND…: becomes `rabbitmq-server`, `rabbitmqctl` or `epmd` of that
# node.
rabbitmq_node() {
  rabbitmq_environment "${@:1:4}"
  cd "$1" || return
  exec "${rabbitmq_clean[@]}" "${@:5}"
}

rabbitmq_prepare() {
  random_password >"$1/password"
  rabbitmq_furnish "$1" "$(<"$1/password")"
}

rabbitmq_launch() {
  rabbitmq_environment "$@"
  launch rabbitmq "${rabbitmq_clean[@]}" epmd
  launch rabbitmq "${rabbitmq_clean[@]}" rabbitmq-server
}

# It listens last. On the port alone, another server may answer.
rabbitmq_is_ready() { [ -s "$1/pid" ] && ! port_is_free "$2"; }

rabbitmq_url() { printf 'amqp://kabar:%s@127.0.0.1:%s\n' "$(<"$1/password")" "$2"; }

rabbitmq_version() { basename "$(dirname "$(rabbitmq_programs)")"; }
