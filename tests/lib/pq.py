"""One question to PostgreSQL by libpq, without a process: psql's start (on Debian a Perl program's first) cost more than most tests' questions."""
import ctypes
import re

OK, TUPLES, FATAL, SQLSTATE = 0, 2, 7, ord("C")
SETS = re.compile(r"\s*(?:set|begin)\b", re.I)  # what would count for the next question, too

lib = ctypes.CDLL("libpq.so.5")
for name, result, arguments in (
    ("PQconnectdb", ctypes.c_void_p, (ctypes.c_char_p,)), ("PQstatus", ctypes.c_int, (ctypes.c_void_p,)), ("PQfinish", None, (ctypes.c_void_p,)),
    ("PQsendQuery", ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p)), ("PQgetResult", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("PQerrorMessage", ctypes.c_char_p, (ctypes.c_void_p,)), ("PQresultStatus", ctypes.c_int, (ctypes.c_void_p,)), ("PQresultErrorField", ctypes.c_char_p, (ctypes.c_void_p, ctypes.c_int)), ("PQclear", None, (ctypes.c_void_p,)),
    ("PQntuples", ctypes.c_int, (ctypes.c_void_p,)), ("PQnfields", ctypes.c_int, (ctypes.c_void_p,)),
    ("PQgetvalue", ctypes.c_char_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
    ("PQsetNoticeProcessor", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
):
    f = getattr(lib, name)
    f.restype, f.argtypes = result, arguments
quiet = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda arg, text: None)


class Refused(Exception):
    """What the server said of a statement."""


def rows_of(conn):
    rows, why = [], None
    while result := lib.PQgetResult(conn):
        status = lib.PQresultStatus(result)
        if status == TUPLES:
            rows += [[lib.PQgetvalue(result, i, k).decode() for k in range(lib.PQnfields(result))] for i in range(lib.PQntuples(result))]
        elif status == FATAL:
            code = lib.PQresultErrorField(result, SQLSTATE)
            why = "" if not code or code.startswith(b"57P") else lib.PQerrorMessage(conn).decode()  # libpq's own words, or: the server goes
        lib.PQclear(result)
    return rows, why


idle = {}  # conninfo -> connections that nobody uses: a backend's start costs ten times a question


def ask(conninfo, text):
    """The rows of all statements of `text` (which are one transaction), each a list of strings, "" for null; None where there is no connection, or not any more."""
    free = idle.setdefault(conninfo, [])
    conn = free.pop() if free else lib.PQconnectdb(conninfo.encode())
    keep = False
    try:
        if lib.PQstatus(conn) != OK:
            return None
        lib.PQsetNoticeProcessor(conn, quiet, None)
        if not lib.PQsendQuery(conn, text.encode()):
            return None
        rows, why = rows_of(conn)
        if lib.PQstatus(conn) != OK or why == "":
            return None
        keep = not SETS.match(text)
        if why:
            raise Refused(why)
        return rows
    finally:
        if keep:
            free.append(conn)
        else:
            lib.PQfinish(conn)
