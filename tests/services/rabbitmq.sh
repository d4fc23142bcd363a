# shellcheck shell=bash
# A private RabbitMQ for the tests: its own node name, cookie, data, logs and ports, gone afterwards. Sourced after
# machine.sh.
#
# To use a broker that runs already, set KABAR_TEST_RABBITMQ_URL to a user that may declare exchanges and queues: then
# nothing is installed or started for the conformance suite. Tests that kill a broker always start their own, with
# `rabbitmq_node`.

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

# rabbitmq_node HOME PORT DISTRIBUTION_PORT EPMD_PORT COMMAND…: runs `rabbitmq-server`, `rabbitmqctl` or `epmd` as one
# node sees the world: whatever another broker on this machine uses is out of its sight. It replaces this shell.
rabbitmq_node() {
  local home=$1 port=$2 distribution=$3 epmd=$4 programs
  shift 4
  programs=$(rabbitmq_programs)
  # None of the caller's RABBITMQ_* or ERL_* variables may lead it elsewhere.
  local as_user=(env --ignore-environment "PATH=$programs:$PATH" "HOME=$home" LANG=C.UTF-8 LC_ALL=C.UTF-8
    "ERL_EPMD_PORT=$epmd" ERL_EPMD_ADDRESS=127.0.0.1
    "RABBITMQ_NODENAME=kabar-$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 "RABBITMQ_NODE_PORT=$port"
    "RABBITMQ_DIST_PORT=$distribution" "RABBITMQ_MNESIA_BASE=$home/data" "RABBITMQ_LOG_BASE=$home/log"
    "RABBITMQ_CONF_ENV_FILE=$home/none" "RABBITMQ_CONFIG_FILE=$home/rabbitmq"
    "RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins" "RABBITMQ_PID_FILE=$home/pid"
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}"
    # Without this, a shell stands between us and the node, which a signal would end alone.
    RABBITMQ_ALLOW_INPUT=true)
  cd "$home"
  exec "${as_user[@]}" "$@"
}
