# shellcheck shell=bash
# Checks of deploy/, for which neither Docker nor a cluster nor a cloud is needed. Sourced after machine.sh.
#
# The tools lie in target/deploy-tools and are installed once: schemas and linters from PyPI, promtool out of Debian's
# package of Prometheus, which is only unpacked; where there is a node, the parser of AsyncAPI from npm. What cannot be
# checked this way stands in deploy/README.md.

deploy_tools=target/deploy-tools
# The oldest and the newest version of Kubernetes that the manifests are for.
deploy_kubernetes=(1.30 1.37)
deploy_asyncapi=@asyncapi/parser@3.6.3

deploy_install() {
  local missing=()
  mkdir -p "$deploy_tools"
  command -v systemd-analyze >/dev/null || missing+=(systemd)
  python3 -c 'import ensurepip, tomllib' 2>/dev/null || missing+=(python3 python3-venv)
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
  fi
  python_packages "$deploy_tools/venv" tests/deploy/requirements.txt
  [ -x "$deploy_tools/promtool" ] || promtool_install
  if command -v npm >/dev/null; then
    node_package "$deploy_tools/asyncapi" "$deploy_asyncapi"
  fi
}

promtool_install() (
  list_packages
  folder=$(mktemp -d)
  trap 'rm -rf -- "$folder"' EXIT
  root=$PWD
  cd "$folder" || exit
  # apt-get would give its rights away for the download, to a user that cannot write here.
  apt-get download --quiet --quiet --option APT::Sandbox::User=root prometheus
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --to-stdout ./usr/bin/promtool >promtool
  chmod 755 promtool
  ./promtool --version >/dev/null 2>&1
  mv promtool "$root/$deploy_tools/promtool"
)

# quietly COMMAND…: shows what it says only where it fails.
quietly() {
  local said
  said=$("$@" 2>&1) || { say "$said" && return 1; }
}

# Every check is made, so that one run names all that is wrong.
deploy_check() {
  local tools=$deploy_tools/venv/bin promtool=$deploy_tools/promtool version
  problems=0
  "$tools/python" -B tests/deploy/check.py || broken "deploy/ does not agree with the code or with itself"
  "$tools/python" -B tests/deploy/healthcheck.py || broken "deploy/healthcheck does not tell well from unwell"
  quietly "$tools/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml ||
    broken "deploy/compose.yaml is not as the Compose Specification wants it"
  "$tools/hadolint" deploy/Dockerfile || broken "deploy/Dockerfile"
  for version in "${deploy_kubernetes[@]}"; do
    "$tools/kubernetes-validate" --strict --quiet --no-warn --kubernetes-version "$version" deploy/kubernetes/*.yaml ||
      broken "deploy/kubernetes is not as Kubernetes $version wants it"
  done
  quietly "$promtool" check config deploy/alerts/prometheus.example.yaml || broken "deploy/alerts"
  quietly "$promtool" test rules tests/deploy/alerts.test.yaml || broken "deploy/alerts: an alert fires when it should not"
  check_unit deploy/systemd/kabar.service || broken "deploy/systemd/kabar.service"
  if command -v node >/dev/null; then
    node --check deploy/examples/enqueue_rabbitmq.mjs || broken "deploy/examples/enqueue_rabbitmq.mjs"
  else
    say "not checked, since there is no node here: deploy/examples/enqueue_rabbitmq.mjs"
  fi
  if [ -e "$deploy_tools/asyncapi/installed" ]; then
    NODE_PATH=$deploy_tools/asyncapi/node_modules node tests/deploy/asyncapi.mjs workers/asyncapi.json ||
      broken "workers/asyncapi.json is not as AsyncAPI wants it"
  else
    say "not checked, since there is no npm here: workers/asyncapi.json"
  fi
  [ "$problems" -eq 0 ]
}

# check_unit FILE: whether systemd takes the unit without a word, and how shut in it is.
check_unit() (
  unit=$(mktemp --directory)/${1##*/}
  trap 'rm -r -- "${unit%/*}"' EXIT
  # The program and its user are not on this machine.
  sed -e 's|^ExecStart=/usr/local/bin/kabar |ExecStart=/bin/true |' -e '/^User=/d' -e '/^Group=/d' "$1" >"$unit"
  # Of an unknown setting it only warns; of other units on this machine it may say what it likes.
  said=$(systemd-analyze verify "$unit" 2>&1) || { say "$said" && return 1; }
  if grep --fixed-strings "${1##*/}" <<<"$said" >&2; then
    return 1
  fi
  # From 0, shut in, to 100, wide open.
  quietly systemd-analyze security --offline=true --no-pager --threshold=20 "$1"
)
