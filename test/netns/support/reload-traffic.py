"""What a reload must not disturb. One process each, in the namespaces of client and server; a report as JSON on stdout.

    server PORT              echoes TCP on PORT, counts the numbered datagrams that come to UDP PORT, until stdin closes
    client SERVER PORT N R S N TCP connections, each written and read in turn, and R numbered datagrams a second, for S seconds
"""
import json
import selectors
import socket
import sys
import threading
import time


def server(port):
    seen = bytearray(1 << 22)
    count = {"datagrams": 0, "twice": 0, "sources": set()}
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    udp.bind(("0.0.0.0", port))
    tcp = socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(("0.0.0.0", port))
    tcp.listen(4096)

    def datagrams():
        while True:
            data, source = udp.recvfrom(2048)
            number = int.from_bytes(data[:4], "big")
            count["datagrams"] += 1
            count["twice"] += seen[number]
            seen[number] = 1
            count["sources"].add(source)

    def streams():
        waiting = selectors.DefaultSelector()
        waiting.register(tcp, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is tcp:
                    waiting.register(tcp.accept()[0], selectors.EVENT_READ)
                    continue
                try:
                    data = key.fileobj.recv(4096)
                except OSError:
                    data = b""
                if data:
                    key.fileobj.sendall(data)
                else:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()

    for run in (datagrams, streams):
        threading.Thread(target=run, daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()
    print(json.dumps({**count, "sources": len(count["sources"])}), flush=True)


def client(address, port, connections, rate, seconds):
    sockets = [socket.create_connection((address, port), 10) for _ in range(connections)]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((address, port))
    print("connected", flush=True)
    sent = 0
    exchanges = 0
    failed = set()
    begin = time.monotonic()
    while time.monotonic() < begin + seconds:
        # Datagrams by the clock; between them one connection after the other says something and hears it again.
        for _ in range(max(0, int((time.monotonic() - begin) * rate) - sent)):
            udp.send(sent.to_bytes(4, "big") + b"x" * 60)
            sent += 1
        number = exchanges % connections
        exchanges += 1
        if number in failed:
            continue
        try:
            sockets[number].settimeout(5)
            sockets[number].sendall(b"%8d" % exchanges)
            if sockets[number].recv(64) != b"%8d" % exchanges:
                failed.add(number)
        except OSError:
            failed.add(number)
    print(json.dumps({"sent": sent, "exchanges": exchanges, "failed": len(failed)}), flush=True)


words = sys.argv[2:]
if sys.argv[1] == "server":
    server(int(words[0]))
else:
    client(words[0], *(int(word) for word in words[1:]))
