"""Sockets of a network namespace, by remote control.

Reads one JSON request per line from stdin and answers each with one line on stdout, in any order:
    {"id": 1, "op": "call", "socket": 3, "method": "recv", "args": [100]}  ->  {"id": 1, "value": {"base64": "..."}}
                                                                     or  {"id": 1, "error": "ECONNREFUSED", ...}
Every request runs in a thread of its own, so a blocking receive holds up nothing else. Ends at the end of stdin.
"""
import base64
import concurrent.futures
import errno
import hashlib
import http.server
import json
import random
import socket
import sys
import threading
import time

sockets = {}
lock = threading.Lock()

# A length that is no multiple of any buffer size: a block that is lost or moved shifts all that follows.
PATTERN = random.Random(42).randbytes((1 << 20) + 7)


def keep(sock):
    with lock:
        sockets[sock.fileno()] = sock
    return {"socket": sock.fileno()}


def encode(value):
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, socket.socket):
        return keep(value)
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def decode(value):
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return tuple(decode(item) for item in value) if isinstance(value, list) else value


def op_open(family, type, protocol=0):
    return keep(socket.socket(getattr(socket, family), getattr(socket, type), protocol))


def op_call(socket, method, args=()):
    return encode(getattr(sockets[socket], method)(*[decode(a) for a in args]))


def op_close(socket):
    with lock:
        sock = sockets.pop(socket)
    sock.close()


def op_recv_exactly(socket, size):
    """Reads until `size` bytes are there or the peer has closed."""
    parts = []
    while size > 0:
        part = sockets[socket].recv(min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return encode(b"".join(parts))


def op_inject(device, frames, gap=0.0):
    """Puts whole Ethernet frames on the wire of a device."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((device, 0))
        for frame in frames:
            sock.send(base64.b64decode(frame))
            if gap:
                time.sleep(gap)


def op_promiscuous(device, on):
    """As a sniffer sets it; stays until switched off or the agent ends."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((device, 0))
    # PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC (linux/if_packet.h)
    request = socket.if_nametoindex(device).to_bytes(4, sys.byteorder) + (1).to_bytes(2, sys.byteorder) + bytes(10)
    sock.setsockopt(263, 1 if on else 2, request)
    return keep(sock)


def op_tcp_echo(host, port, device=None):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if device:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    server.bind((host, port))
    server.listen(512)

    def echo(conn):
        try:
            while data := conn.recv(1 << 16):
                conn.sendall(data)
        except OSError:
            pass
        conn.close()

    def accept():
        while True:
            conn, _ = server.accept()
            threading.Thread(target=echo, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def op_udp_echo(host, port, device=None):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.setsockopt(socket.SOL_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: big answers are fragmented
    if device:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    server.bind((host, port))

    def echo():
        while True:
            data, peer = server.recvfrom(1 << 16)
            server.sendto(data, peer)

    threading.Thread(target=echo, daemon=True).start()


def op_pattern_sha256(size):
    digest = hashlib.sha256()
    for length in pattern_pieces(size):
        digest.update(PATTERN[:length])
    return digest.hexdigest()


def pattern_pieces(size):
    while size > 0:
        yield min(size, len(PATTERN))
        size -= len(PATTERN)


class Http(http.server.BaseHTTPRequestHandler):
    """GET /SIZE answers SIZE bytes of the pattern; PUT answers the SHA-256 of what was sent; GET /peer the client's address,
    GET /ends that and the server's own, as the server sees them."""

    protocol_version = "HTTP/1.1"
    peers = set()

    def do_GET(self):
        Http.peers.add(self.client_address[0])
        if self.path == "/peer":
            return self.answer(self.client_address[0].encode())
        if self.path == "/ends":
            return self.answer(f"{self.client_address[0]} {self.connection.getsockname()[0]}".encode())
        size = int(self.path[1:].partition("?")[0])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        view = memoryview(PATTERN)
        for length in pattern_pieces(size):
            self.wfile.write(view[:length])

    def do_PUT(self):
        Http.peers.add(self.client_address[0])
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left > 0 and (data := self.rfile.read(min(left, 1 << 20))):
            digest.update(data)
            left -= len(data)
        self.answer(digest.hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class HttpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that goes away in the middle is part of some tests


def op_http(host, port):
    server = HttpServer((host, port), Http)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def op_http_peers():
    return sorted(Http.peers)


def handle(request):
    answer = {"id": request.pop("id")}
    op = request.pop("op")
    try:
        answer["value"] = globals()["op_" + op](**request)
    except (TimeoutError, socket.timeout):
        answer.update(error="ETIMEDOUT", message=f"{op}: timed out")
    except OSError as error:
        answer.update(error=errno.errorcode.get(error.errno, str(error)), message=f"{op}: {error}")
    except Exception as error:  # a mistake in a test: say it there
        answer.update(error=type(error).__name__, message=f"{op}: {error}")
    with lock:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=512)
    print("ready", flush=True)
    for line in sys.stdin:
        pool.submit(handle, json.loads(line))
    sys.stdout.flush()
    import os

    os._exit(0)
