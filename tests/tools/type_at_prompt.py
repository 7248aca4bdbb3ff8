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
person.types("as answer;\r")
for expected in ("answer", "42", "(1 row)", PROMPT):
    person.sees(expected)

person.types("select 'dropped'\r")
person.sees(CONTINUED)
person.types(CTRL_C)
person.sees(PROMPT)
person.types("select 'kept' as word;\r")
for expected in ("word", "kept", "(1 row)", PROMPT):
    person.sees(expected)

person.types("\\d packages\r")
for expected in ("latest", PROMPT):
    person.sees(expected)
person.types("\\d\r")
for expected in ("Tables:", "packages", "Views:", "depended_upon", PROMPT):
    person.sees(expected)
person.types("\\views\r")
for expected in ("depended_upon", PROMPT):
    person.sees(expected)

person.types("select nothing from packages;\r")
for expected in ("error", "nothing", PROMPT):
    person.sees(expected)
person.types("\\unknown\r")
for expected in ("there is no command \\unknown", PROMPT):
    person.sees(expected)

person.types("\\timing\r")
for expected in ("timing is on", PROMPT):
    person.sees(expected)
person.types("select count(*) as packages from packages;\r")
for expected in ("(1 row)", " s\n", PROMPT):
    person.sees(expected)
person.types("\\format csv\r")
person.sees(PROMPT)
person.types("select 'a' as one, 'b' as two;\r")
for expected in ("one,two\n", "a,b\n", PROMPT):
    person.sees(expected)

person.types(ENDLESS + "\r")
person.sees("total\n")
person.types(CTRL_C)
for expected in ("stopped before the end", PROMPT):
    person.sees(expected)
person.types("select 'still here' as word;\r")
for expected in ("word\n", "still here\n", PROMPT):
    person.sees(expected)
person.leaves_with("\\q\r")

again = Person()
again.sees(PROMPT)
again.types(UP + UP)
again.sees("select 'still here' as word;")
again.types("\r")
for expected in ("word", "still here", "(1 row)", PROMPT):
    again.sees(expected)
again.leaves_with(CTRL_D)
print("everything was seen")
