"""Between a worker and its master: passes bytes on, holds them in either direction as a network does that swallows them, and cuts."""
import socket
import threading
import time

LOOK_S, PART = 0.01, 4096


class Relay:
    """port: the master's. hold: directions in which nothing passes now, of "up" (to the master) and "down"."""

    def __init__(self, port):
        self.port, self.hold, self.open = port, set(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                inner, _ = self.listener.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                inner.close()
                continue
            self.open |= {inner, outer}
            threading.Thread(target=self.carry, args=(inner, outer, "up"), daemon=True).start()
            threading.Thread(target=self.carry, args=(outer, inner, "down"), daemon=True).start()

    def carry(self, a, b, way):
        try:
            while data := a.recv(PART):
                self.wait(way, data)
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.discard(a)
        a.close()  # each by the thread that reads it

    def wait(self, way, data):
        """Before these bytes go on."""
        while way in self.hold:
            time.sleep(LOOK_S)

    def cut(self):
        for s in list(self.open):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.hold.clear()
        self.cut()
