# shellcheck shell=bash
# Sends requests of every kind to the HTTP API, as its description allows and forbids them: none may be answered with a
# server's error, nor with anything that the description does not name. Sourced after machine.sh.
#
# The tool is schemathesis, out of PyPI, in target/api-tools. Its seed is printed; KABAR_API_SEED repeats a run.
# KABAR_API_EXAMPLES is how many requests it makes up for each route in each of its phases, beside those that it tries for
# every bound and every method.

api_tools=target/api-tools

api_install() { python_packages "$api_tools" tests/api/requirements.txt --only-binary :all:; }

# A gateway with a sender whose provider does not exist, on a ledger of its own, and a key that may do all.
api_check() (
  kabar=$PWD/target/debug/kabar tools=$PWD/$api_tools/bin
  examples=${KABAR_API_EXAMPLES:-20} seed=${KABAR_API_SEED:-$RANDOM}
  # The program takes variables that begin so for settings.
  unset KABAR_API_EXAMPLES KABAR_API_SEED
  folder=$(mktemp -d "${TMPDIR:-/tmp}/kabar-api.XXXXXX")
  pid=
  trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; wait; rm -rf -- "$folder"' EXIT
  cd "$folder" || exit
  address=127.0.0.1:$(free_ports 1)
  export KABAR_LISTEN=$address WHATSAPP_PHONE_NUMBER_ID=1 WHATSAPP_ACCESS_TOKEN=none WHATSAPP_API_BASE=http://127.0.0.1:1
  key=$("$kabar" key add schemathesis --scope admin 2>/dev/null)
  "$kabar" run --only gateway,planner 2>log &
  pid=$!
  api_gets_ready "$address" || { cat log >&2 && exit 1; }
  status=0
  "$tools/schemathesis" --no-color run "http://$address/openapi.json" --header "Authorization: Bearer $key" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth \
    --max-examples "$examples" --seed "$seed" --request-timeout 20 --warnings off ||
    status=$?
  kill -0 "$pid" || { say "the gateway has ended" && status=1; }
  if grep -E ' ERROR |panicked' log >&2; then
    status=1
  fi
  exit "$status"
)

api_gets_ready() {
  local _
  for _ in $(seq 100); do
    ! exec 3<>"/dev/tcp/${1/://}" || { exec 3>&- && return; }
    sleep 0.1
  done 2>/dev/null
  return 1
}
