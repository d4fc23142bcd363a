"""Enqueues jobs over HTTP: enqueue_http.py JOB.json…

Needs nothing but Python. API_URL says where: https://HOST; API_KEY is what `kabar key add NAME --scope enqueue` printed.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 30
TRIES = 5


def enqueue(job):
    """Returns the job's id once it is on disk; raises where that is not known, and enqueuing it again is then right.

    Give every job an id of your own, such as an invoice's: the same id again is the same job, so that a request without
    an answer may simply be sent again. A job without one gets a new id each time, and would be sent each time.
    """
    if not job.get("id"):
        raise ValueError("the job has no id")
    request = urllib.request.Request(
        os.environ["API_URL"] + "/v1/jobs",
        data=json.dumps(job).encode(),
        headers={"Authorization": "Bearer " + os.environ["API_KEY"], "Content-Type": "application/json"},
    )
    for failed in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)["id"]
        except urllib.error.HTTPError as error:
            problem = error.read().decode()
            # Too many messages for this key's limit, or the ledger is away. All else is for a person to mend.
            if error.code not in (429, 503) or failed + 1 == TRIES:
                raise RuntimeError(f"{error.code}: {problem}") from None
            time.sleep(float(error.headers.get("Retry-After") or 2**failed))
        except OSError:
            if failed + 1 == TRIES:
                raise
            time.sleep(2**failed)


def main(files):
    for file in files:
        with open(file, encoding="utf-8") as text:
            job = json.load(text)
        print(enqueue(job))


if __name__ == "__main__":
    main(sys.argv[1:])
