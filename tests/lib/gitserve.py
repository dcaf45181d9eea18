"""Git servers on loopback: smart HTTP by git's own http-backend behind Python's server, and OpenSSH's sshd."""
import base64
import http.server
import os
import pwd
import subprocess
import threading

from drover import free_port, read, wait_for


class GitHttp:
    """Serves the repositories below a folder. token: what must be sent, as `wants` says: a function of the Authorization header. redirect: {path's head: address}. remember: git is asked once for
    each repository's refs. asked: [(path, Authorization or None)]."""

    def __init__(self, folder, wants=None, redirect=None, remember=False):
        self.folder, self.wants, self.redirect, self.asked = folder, wants, redirect or {}, []
        self.answers = {} if remember else None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.serve(self)

            do_POST = do_GET
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def plain(self, r, status, headers=(), body=b""):
        r.send_response(status)
        for k, v in (*headers, ("Content-Length", str(len(body)))):
            r.send_header(k, v)
        r.end_headers()
        r.wfile.write(body)

    def serve(self, r):
        path, _, query = r.path.partition("?")
        given = r.headers.get("Authorization")
        self.asked.append((path, given))
        body = self.body(r)
        for head, to in self.redirect.items():
            if path.startswith(head):
                return self.plain(r, 302, [("Location", to + path[len(head):] + ("?" + query if query else ""))])
        if self.wants and not self.wants(given):
            return self.plain(r, 401, [("WWW-Authenticate", 'Basic realm="git"')])
        if self.answers and r.command == "GET" and r.path in self.answers:
            return self.plain(r, 200, *self.answers[r.path])
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": r.command,
               "CONTENT_TYPE": r.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
               "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        if r.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = r.headers["Content-Encoding"]
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        head, _, data = out.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(v.split()[0]) for k, v in headers if k == "Status"), 200)
        headers = [(k, v) for k, v in headers if k != "Status"]
        if self.answers is not None and r.command == "GET" and status == 200:
            self.answers[r.path] = headers, data
        self.plain(r, status, headers, data)

    def body(self, r):
        if r.headers.get("Transfer-Encoding") != "chunked":
            return r.rfile.read(int(r.headers.get("Content-Length", 0)))
        parts = []
        while n := int(r.rfile.readline().split(b";")[0], 16):
            parts.append(r.rfile.read(n))
            r.rfile.readline()
        r.rfile.readline()
        return b"".join(parts)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Sshd:
    """OpenSSH's, for the user who runs the tests; keys: public keys that may come in."""

    def __init__(self, d, host_key, keys, name="sshd", **options):
        self.port, self.user = free_port(), pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        allowed, conf = d.path(name + ".allowed"), d.path(name + ".conf")
        with open(allowed, "w") as f:
            f.write("".join(read(k + ".pub").decode() for k in keys))
        lines = {"Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": host_key, "AuthorizedKeysFile": allowed, "StrictModes": "no", "UsePAM": "no", "PidFile": "none",
                 "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "PermitRootLogin": "yes", "LogLevel": "VERBOSE",
                 "MaxStartups": 1000, **options}  # those who are not in yet: of more than 10 it sends some away
        with open(conf, "w") as f:
            f.write("".join(f"{k} {v}\n" for k, v in lines.items()))
        self.process = d.spawn(name + ".log", "/usr/sbin/sshd", "-D", "-e", "-f", conf)
        wait_for(lambda: b"Server listening" in read(d.path(name + ".log")), "sshd")

    def url(self, path):
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def close(self):
        self.process.terminate()
        self.process.wait()


def make_key(path, kind="ed25519"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", path], check=True, stdin=subprocess.DEVNULL)
    return path


def fingerprint(path):
    return subprocess.run(["ssh-keygen", "-lf", path + ".pub"], check=True, stdout=subprocess.PIPE).stdout.decode().split()[1]
