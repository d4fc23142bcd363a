# shellcheck shell=bash
# What the programs in deploy/examples need, in target/example-tools: pika and boto3 from PyPI, amqplib from npm. Sourced
# after machine.sh. The test that runs them (flows, `examples`) finds it by KABAR_TEST_EXAMPLE_TOOLS.

example_tools=$PWD/target/example-tools
example_amqplib=amqplib@2.3.1

examples_install() {
  local missing=()
  export KABAR_TEST_EXAMPLE_TOOLS=$example_tools
  command -v curl >/dev/null || missing+=(curl)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
  fi
  python_packages "$example_tools/python" tests/examples/requirements.txt --only-binary :all:
  node_package "$example_tools/node" "$example_amqplib"
}
