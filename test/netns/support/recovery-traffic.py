"""Traffic that shows what a restart costs: datagrams by the clock, and transfers whose bytes are hashed at both ends. Reports are JSON on stdout.

    sink PORT                         takes numbered datagrams until stdin closes: how many came, which did not, and the gaps between them
    blast SERVER PORT RATE SECONDS    sends RATE numbered datagrams a second
    digest PORT                       takes transfers; answers each with the SHA-256 of what came, until stdin closes
    transfers SERVER PORT N SECONDS   N transfers at once, each a piece about every second; compares what the other side has got, and
                                      keeps all open until stdin closes

Times are those of CLOCK_MONOTONIC in ms, which all processes of a host share.
"""
import hashlib
import json
import random
import selectors
import socket
import sys
import threading
import time

SO_RCVBUFFORCE = 33
PIECE = 700


def sink(port):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    udp.bind(("0.0.0.0", port))
    seen = bytearray(1 << 23)
    state = {"received": 0, "twice": 0, "highest": -1}
    gaps = []

    def take():
        last = None
        while True:
            data = udp.recv(2048)
            now = time.monotonic_ns()
            number = int.from_bytes(data[:4], "big")
            state["twice"] += seen[number]
            seen[number] = 1
            state["received"] += 1
            state["highest"] = max(state["highest"], number)
            if last is not None and now - last > 2_000_000:
                gaps.append((last / 1e6, (now - last) / 1e6))
            last = now

    threading.Thread(target=take, daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()
    lost = state["highest"] + 1 - sum(seen)
    print(json.dumps({**state, "lost": lost, "gaps": gaps}), flush=True)


def blast(address, port, rate, seconds):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((address, port))
    print("sending", flush=True)
    sent = 0
    begin = time.monotonic()
    while True:
        passed = time.monotonic() - begin
        if passed >= seconds:
            break
        # One that was kept from the processor does not catch up in one burst: that would be a test of queues.
        due = min(int(passed * rate) - sent, 64)
        for _ in range(due):
            udp.send(sent.to_bytes(4, "big") + b"x" * 60)
            sent += 1
        if due < 64:
            time.sleep(0.0005)
    print(json.dumps({"sent": sent}), flush=True)


def digest(port):
    tcp = socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(("0.0.0.0", port))
    tcp.listen(4096)
    waiting = selectors.DefaultSelector()
    waiting.register(tcp, selectors.EVENT_READ)
    done = []
    count = {"bytes": 0, "failed": 0, "ended": 0}

    def serve():
        while True:
            for key, _ in waiting.select():
                if key.fileobj is tcp:
                    waiting.register(tcp.accept()[0], selectors.EVENT_READ, hashlib.sha256())
                    continue
                try:
                    data = key.fileobj.recv(65536)
                    count["bytes"] += len(data)
                    key.data.update(data)
                    if data:
                        continue
                    key.fileobj.sendall(key.data.hexdigest().encode())
                    count["ended"] += 1
                except OSError:
                    count["failed"] += 1
                # Stays open: of two ends that close, one may answer a repeated segment by RST.
                waiting.unregister(key.fileobj)
                done.append(key.fileobj)

    threading.Thread(target=serve, daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()
    print(json.dumps(count), flush=True)


def transfers(address, port, connections, seconds):
    sockets = []
    for _ in range(connections):
        one = socket.create_connection((address, port), 30)
        one.settimeout(60)
        sockets.append((one, hashlib.sha256(), random.Random(len(sockets))))
    print("connected", flush=True)
    failed = set()
    begin = time.monotonic()
    turn = 0
    while time.monotonic() < begin + seconds:
        number = turn % connections
        turn += 1
        if number not in failed:
            one, mine, source = sockets[number]
            piece = source.randbytes(PIECE)
            try:
                one.sendall(piece)
                mine.update(piece)
            except OSError:
                failed.add(number)
        time.sleep(max(0, begin + turn / connections - time.monotonic()))
    wrong = 0
    for number, (one, mine, _) in enumerate(sockets):
        if number in failed:
            continue
        try:
            one.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < 64:
                more = one.recv(64)
                if not more:
                    break
                answer += more
            wrong += answer.decode() != mine.hexdigest()
        except OSError:
            failed.add(number)
    print(json.dumps({"transfers": connections, "failed": len(failed), "wrong": wrong}), flush=True)
    sys.stdin.read()


words = sys.argv[2:]
if sys.argv[1] == "sink":
    sink(int(words[0]))
elif sys.argv[1] == "blast":
    blast(words[0], *(int(word) for word in words[1:]))
elif sys.argv[1] == "digest":
    digest(int(words[0]))
else:
    transfers(words[0], *(int(word) for word in words[1:]))
