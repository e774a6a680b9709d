"""An SMTP-to-API relay gateway for LINE WORKS and NAVER WORKS.

One message's way:

    smtp/ ─Submission→ intake ─put→ spool/ ←claim─ courier/ ─→ message/ (converts) ─→ works/ (sends)

Every room. A room imports only from rooms above it in this list:

    envelope, mail, outcome, reply, grants    the words that rooms pass to each other
    metrics       every series of the metrics page, declared once
    config/       relay.toml: keys, types, defaults; how it is read
    host/         this machine: clock, disk, certificates, passwords, systemd, the log
    message/      converts a message: octets → Mail → the API's payload, with its losses; does no I/O
    devices/      what a device is and does wrong: recorded sessions, the doctor, learning
    conversion/   the process that converts large messages
    spool/        the durable middle, the only place where the two halves meet
    works/        the API: HTTP, grants, pacing, and what an answer means
    postgres/     the spool on PostgreSQL
    stores        which engine keeps the spool and the grants
    courier/      claims a message, has it converted and sent, and settles the outcome
    notices/      mail to the sender about failures, and to the operator about trouble
    intake        puts a submission into the spool and waits a little for the verdict
    smtp/         the door: everything about SMTP
    operator/     what a person asks of the relay: control socket, verbs, trace, check
    service       builds all of it, starts and stops it in order
    console/      the web pages, metrics and health
    sandbox/      a simulated Works
    cli/          the command line
    django/       for Django, on whichever host: an e-mail backend, a check, an outbox for tests

Start reading at `docs/architecture.md`, then `service`, or `courier.Courier` for the heart.
"""

__version__ = "0.1.0"
