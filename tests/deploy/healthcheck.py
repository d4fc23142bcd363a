"""Whether deploy/healthcheck tells a server that is well from one that is not, and from none."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck"
ANSWERS = {"/healthz": (200, b"ok\n"), "/readyz": (503, b"not ready\nledger: away\n")}


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = ANSWERS[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def ask(port, *arguments):
    environment = {"PATH": "/usr/bin:/bin", "KABAR_LISTEN": f"0.0.0.0:{port}"}
    done = subprocess.run(["bash", SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_port
well, unwell, elsewhere = ask(port), ask(port, "/readyz"), ask(1, "/healthz", str(port))
server.shutdown()
server.server_close()
gone = ask(port)
as_it_should = well == (0, "") and unwell[0] == 1 and "ledger: away" in unwell[1] and elsewhere[0] == 0 and gone[0] == 1
if not as_it_should:
    sys.exit(f"deploy/healthcheck: well {well}, unwell {unwell}, elsewhere {elsewhere}, gone {gone}")
