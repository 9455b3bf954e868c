# SPDX-License-Identifier: Apache-2.0
"""A producer of TAP (testanything.org): numbered results, a plan at the end, an exit code."""

import contextlib
import sys
import time
import traceback

SHOWN_FAILURES = 20


class Tap:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.count = 0
        self.failed = 0
        self.start = time.monotonic()

    def _print(self, text):
        print(text, file=self.out, flush=True)

    def note(self, text):
        """A comment line: figures, the seed."""
        for line in str(text).splitlines():
            self._print("# " + line)

    def ok(self, condition, name, detail=None):
        self.count += 1
        self.failed += not condition
        self._print("%s %d - %s" % ("ok" if condition else "not ok", self.count, name.replace("#", "number")))
        if not condition and detail is not None:
            self.note(detail)
        return bool(condition)

    def equal(self, got, want, name):
        return self.ok(got == want, name, "got %r\nwant %r" % (got, want))

    def skip(self, name, why):
        self.count += 1
        self._print("ok %d - %s # SKIP %s" % (self.count, name, why))

    @contextlib.contextmanager
    def case(self, name):
        """One result: ok unless the body raises AssertionError, whose text is shown."""
        try:
            yield
        except AssertionError as e:
            self.ok(False, name, str(e) or traceback.format_exc())
        else:
            self.ok(True, name)

    def none_of(self, failures, name):
        """ok if the list of failures (texts) is empty; the first ones are shown."""
        shown = list(failures[:SHOWN_FAILURES])
        if len(failures) > len(shown):
            shown.append("… and %d more" % (len(failures) - len(shown)))
        return self.ok(not failures, name, "\n".join(shown))

    def finish(self):
        self._print("1..%d" % self.count)
        self.note("%d failed, %.1f s" % (self.failed, time.monotonic() - self.start))
        return 1 if self.failed or not self.count else 0


def run(main):
    """Runs main(tap) and ends the process; an exception is a failure, never a silent end."""
    tap = Tap()
    try:
        main(tap)
    except KeyboardInterrupt:
        print("Bail out! interrupted", flush=True)
        sys.exit(130)
    except Exception:
        tap.ok(False, "the test ran to its end", traceback.format_exc())
    sys.exit(tap.finish())
