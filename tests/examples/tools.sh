# shellcheck shell=bash
# What the programs in deploy/examples need, in target/example-tools: pika and boto3 from PyPI, amqplib from npm. Sourced
# after machine.sh. The test that runs them (flows, `examples`) finds it by KABAR_TEST_EXAMPLE_TOOLS.

example_tools=$PWD/target/example-tools
example_amqplib=amqplib@2.3.1

examples_install() {
  local wanted=tests/examples/requirements.txt missing=()
  export KABAR_TEST_EXAMPLE_TOOLS=$example_tools
  command -v curl >/dev/null || missing+=(curl)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
  fi
  if ! cmp --quiet "$wanted" "$example_tools/python/installed"; then
    rm -rf "$example_tools/python"
    python3 -m venv "$example_tools/python"
    "$example_tools/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$wanted"
    cp "$wanted" "$example_tools/python/installed"
  fi
  if [ "$(cat "$example_tools/node/installed" 2>/dev/null)" != "$example_amqplib" ]; then
    rm -rf "$example_tools/node"
    mkdir -p "$example_tools/node"
    npm install --silent --no-package-lock --no-save --prefix "$example_tools/node" "$example_amqplib"
    printf '%s' "$example_amqplib" >"$example_tools/node/installed"
  fi
}
