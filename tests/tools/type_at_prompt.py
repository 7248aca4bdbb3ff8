#!/usr/bin/env python3
"""A person at the prompt of SQL, on a pseudo-terminal: types, and waits to see what must come.

    type_at_prompt.py BINARY LAKE FOLDER

LAKE is a lake with at least one package, FOLDER an empty folder for the history. Standard library only.
"""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

BINARY, LAKE, FOLDER = sys.argv[1:]
# Long enough for a busy machine; nothing waits longer than it must.
PATIENCE_SECONDS = 120
# So wide that no line that is typed here is broken.
ROWS, COLUMNS = 50, 200
COLOURS_AND_CURSORS = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\r")
PROMPT, CONTINUED = "lake> ", "  ... "
UP, CTRL_C, CTRL_D = "\x1b[A", "\x03", "\x04"
ENDLESS = "with recursive n as (select 1 as i union all select i + 1 as i from n) select sum(i) as total from n;"


class Person:
    def __init__(self):
        environment = {"TERM": "xterm", "PATH": os.environ["PATH"], "HOME": FOLDER, "PAGER": "cat"}
        environment["ALL_DOCS_HISTORY"] = os.path.join(FOLDER, "history")
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.chdir(FOLDER)
            os.execve(BINARY, [BINARY, "--lake", LAKE, "query"], environment)
        self.seen = b""

    def types(self, text):
        os.write(self.terminal, text.encode())

    def sees(self, wanted):
        """Waits for a text, and gives what came until its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            shown = COLOURS_AND_CURSORS.sub(b"", self.seen).decode(errors="replace")
            place = shown.find(wanted)
            if place >= 0:
                self.seen = shown[place + len(wanted):].encode()
                return shown[:place]
            if not select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                sys.exit(f"waited for {wanted!r} and saw only {shown!r}")
            try:
                self.seen += os.read(self.terminal, 65536)
            except OSError:
                sys.exit(f"it ended before {wanted!r} and after {shown!r}")

    def asks(self, keys, *answers):
        """Types, sees the answers in their order, and then the prompt again."""
        self.types(keys)
        for answer in (*answers, PROMPT):
            self.sees(answer)

    def leaves_with(self, keys):
        self.types(keys)
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:
            pass  # The other end of a pseudo-terminal is closed.
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        if status != 0:
            sys.exit(f"it ended with {status}")


person = Person()
person.sees(PROMPT)

person.types("select 40 + 2\r")
person.sees(CONTINUED)
person.asks("as answer;\r", "answer", "42", "(1 row)")

person.types("select 'dropped'\r")
person.sees(CONTINUED)
person.asks(CTRL_C)
person.asks("select 'kept' as word;\r", "word", "kept", "(1 row)")

person.asks("\\d packages\r", "latest")
person.asks("\\d\r", "Tables:", "packages", "Views:", "depended_upon")
person.asks("\\views\r", "depended_upon")

person.asks("select nothing from packages;\r", "error", "nothing")
person.asks("\\unknown\r", "there is no command \\unknown")

person.asks("\\timing\r", "timing is on")
person.asks("select count(*) as packages from packages;\r", "(1 row)", " s\n")
person.asks("\\format csv\r")
person.asks("select 'a' as one, 'b' as two;\r", "one,two\n", "a,b\n")

person.types(ENDLESS + "\r")
person.sees("total\n")
person.asks(CTRL_C, "stopped before the end")
person.asks("select 'still here' as word;\r", "word\n", "still here\n")
person.leaves_with("\\q\r")

again = Person()
again.sees(PROMPT)
again.types(UP + UP)
again.sees("select 'still here' as word;")
again.asks("\r", "word", "still here", "(1 row)")
again.leaves_with(CTRL_D)
print("everything was seen")
