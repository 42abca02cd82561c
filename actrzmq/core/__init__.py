"""Floor 2: the machines that decide. No socket, clock, log or dice in here.

The contract between a machine and the shell that runs it:

1. `now` is an argument, in milliseconds of CLOCK_BOOTTIME; it never goes backwards and is the only time there is.
2. Events go in through verbs; what is to be done comes out as values: messages to send, calls to start, calls to
   resolve. The shell does it in order, then asks `next_deadline()` and arms one timer for `tick(now)`.
3. An effect that failed comes back as an event (`unreachable`, `congested`), never as an exception.
4. A peer can't make a machine raise: nonsense becomes a counted drop with a reason. Misuse by our own caller raises at
   once and changes nothing. Anything else is a bug: the process ends and its supervisor starts it again.
5. Bodies pass through unread. Dice are handed in: a function that draws random bytes.
"""
