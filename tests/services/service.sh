# shellcheck shell=bash
# What all services of the tests do: a folder of their own, free ports, a start that is waited for, an end that leaves
# nothing. Sourced after machine.sh, before the services.
#
# A service is a file beside this one, listed in `tests/run`. It calls `service` and has the functions
#
#   NAME_install               puts its programs onto the machine, if they are missing
#   NAME_prepare FOLDER        puts what it needs into its folder
#   NAME_launch FOLDER PORT…   hands its processes to `launch`
#   NAME_is_ready FOLDER PORT  whether it answers now
#   NAME_url FOLDER PORT       its address
#   NAME_version               what it is
#
# Where the variable of its address is set already, that server is used, and nothing is started.

declare -A service_title service_variable service_ports service_seconds service_signals
# Of those that were started: their folders, and the ids of their processes.
declare -A service_folder service_pids

# service NAME TITLE VARIABLE PORTS SECONDS SIGNAL…: what messages call it; the variable that tests find its address in; how
# many ports it takes; how long it may take to start; what ends it, each sent when the one before has not.
service() {
  service_title[$1]=$2
  service_variable[$1]=$3
  service_ports[$1]=$4
  service_seconds[$1]=$5
  service_signals[$1]=${*:6}
}

# service_is_given NAME: whether one that runs already is to be used.
service_is_given() {
  local variable=${service_variable[$1]}
  [ -n "${!variable:-}" ]
}

# start_service NAME: starts it and exports its address. With keep=yes it outlives this shell; otherwise it ends with it,
# even if the shell is killed.
start_service() {
  local name=$1 title=${service_title[$1]} variable=${service_variable[$1]} attempt folder ports url
  if service_is_given "$name"; then
    say "$title: that of $variable"
    return
  fi
  folder=$(mktemp -d "${TMPDIR:-/tmp}/kabar-$name.XXXXXX")
  service_folder[$name]=$folder
  "${name}_prepare" "$folder"
  for attempt in 1 2 3 4 5; do
    # Another process may still take a port before the service does; it then ends, and others are tried.
    read -ra ports <<<"$(free_ports "${service_ports[$name]}")"
    "${name}_launch" "$folder" "${ports[@]}"
    if service_gets_ready "$name" "${ports[0]}"; then
      url=$("${name}_url" "$folder" "${ports[0]}")
      export "$variable=$url"
      say "$title: $("${name}_version"), port ${ports[0]} (attempt $attempt)"
      return
    fi
    end_processes "$name"
  done
  service_failed "$name"
  return 1
}

# launch NAME [OPTION…] COMMAND…: starts one of its processes, in its folder. The options are those of setpriv.
launch() {
  local name=$1 folder=${service_folder[$1]} bound=(setpriv --no-new-privs)
  shift
  [ "${keep:-no}" = yes ] || bound+=("--pdeathsig=${service_signals[$name]%% *}")
  (
    close_inherited_files
    cd "$folder" && exec "${bound[@]}" "$@"
  ) </dev/null >>"$folder/output" 2>&1 &
  service_pids[$name]+=" $!"
}

# Closes all but the standard ones: a service that is kept would hold a lock of whoever started `tests/run` for as long as it
# runs.
close_inherited_files() {
  local file
  for file in /proc/self/fd/*; do
    file=${file##*/}
    [ "$file" -le 2 ] || exec {file}>&-
  done
}

# service_gets_ready NAME PORT: waits until it does, for as long as it runs and may take.
service_gets_ready() {
  local tries
  for ((tries = 0; tries < 10 * service_seconds[$1]; tries++)); do
    sleep 0.1
    service_runs "$1" || return 1
    if "$1_is_ready" "${service_folder[$1]}" "$2"; then
      # It may be another that answers on this port; then this one ends.
      sleep 0.2
      service_runs "$1"
      return
    fi
  done
  return 1
}

# service_runs NAME: whether all its processes do.
service_runs() {
  local pid
  for pid in ${service_pids[$1]}; do
    kill -0 "$pid" 2>/dev/null || return 1
  done
}

# service_failed NAME: shows why.
service_failed() {
  say "${service_title[$1]} did not start; the end of what it said:"
  tail -n 20 "${service_folder[$1]}/output" >&2
}

# end_processes NAME: sends one signal after the other, each ten seconds after the one before, until none is left.
end_processes() {
  local pids signal tries
  read -ra pids <<<"${service_pids[$1]:-}"
  [ "${#pids[@]}" -gt 0 ] || return 0
  for signal in ${service_signals[$1]}; do
    # Of several processes, it is enough for `kill` that one is there.
    kill -s "$signal" "${pids[@]}" || break
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "${pids[@]}" || break 2
      sleep 0.1
    done
  done 2>/dev/null # here the shell would tell of each that was killed
  wait "${pids[@]}" 2>/dev/null || true
  service_pids[$1]=
}

# stop_service NAME: leaves nothing of it, however far it had come.
stop_service() {
  end_processes "$1"
  if [ -n "${service_folder[$1]:-}" ]; then
    rm -rf -- "${service_folder[$1]}"
    service_folder[$1]=
  fi
}

# say_kept NAME: how to use and to stop one that was kept.
say_kept() {
  [ -n "${service_pids[$1]:-}" ] || return 0
  local variable=${service_variable[$1]}
  say "  export $variable=${!variable}"
  say "  stop it: kill -${service_signals[$1]%% *}${service_pids[$1]}; rm -rf ${service_folder[$1]}"
}
