# shellcheck shell=bash
# A private server that speaks the protocol of Amazon SQS: ministack, in a Python environment of its own. Sourced after
# service.sh. It keeps its queues in memory.
#
# Why this one: it installs from PyPI alone, in seconds, and takes ten thousand items in ten; moto needs minutes for as
# many. It is no SQS: it loses, doubles and disorders nothing, never throttles, counts exactly and purges as often as it is
# asked. What follows from those is tested in shared/queue/src/sqs/tests.
#
# To use a server that runs already, set KABAR_TEST_SQS_URL to its address, http://HOST:PORT. It must take any credentials.

service sqs 'Amazon SQS' KABAR_TEST_SQS_URL 1 30 TERM KILL

ministack_version=1.5.33
ministack_folder=$PWD/target/services/ministack-$ministack_version

sqs_install() {
  if service_is_given sqs || [ -e "$ministack_folder/complete" ]; then
    return
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3 python3-venv
  fi
  rm -rf -- "$ministack_folder"
  python3 -m venv "$ministack_folder"
  "$ministack_folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    "ministack==$ministack_version"
  touch "$ministack_folder/complete"
}

# It finds all it needs in its environment.
sqs_prepare() { :; }

# None of the caller's AWS_* variables may reach it, nor Docker, which it would use for other services.
sqs_launch() {
  launch sqs env --ignore-environment "PATH=$PATH" "HOME=$1" LC_ALL=C.UTF-8 \
    DOCKER_HOST=unix:///nonexistent SERVICES=sqs LOG_LEVEL=WARNING BIND_HOST=127.0.0.1 "GATEWAY_PORT=$2" \
    "$ministack_folder/bin/ministack"
}

sqs_is_ready() { ! port_is_free "$2"; }

sqs_url() { printf 'http://127.0.0.1:%s\n' "$2"; }

sqs_version() { printf 'ministack %s\n' "$ministack_version"; }
