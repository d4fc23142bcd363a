#!/bin/sh
# Enqueues jobs over HTTP: enqueue_http.sh JOB.json…
#
# Needs curl. API_URL says where: https://HOST; API_KEY is what `kabar key add NAME --scope enqueue` printed.
#
# Give every job an id of your own, such as an invoice's: the same id again is the same job. So curl may ask again where
# there was no answer or it said "later" (408, 429, 5xx), and so may whoever runs this. 202 means that the job is on disk.
set -eu

for job in "$@"; do
  # The key goes in by standard input: all users of a machine can see what stands on command lines.
  printf 'header = "Authorization: Bearer %s"\n' "$API_KEY" |
    curl --config - --silent --show-error --fail-with-body --max-time 30 --retry 5 --retry-connrefused \
      --header 'Content-Type: application/json' --data-binary "@$job" --write-out '\n' "$API_URL/v1/jobs"
done
