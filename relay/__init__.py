"""An SMTP-to-API relay gateway for LINE WORKS and NAVER WORKS.

One message's way, and the rooms it passes through:

    smtp/      a client speaks SMTP; the session makes a Submission (envelope and content)
    intake     puts it durably into the spool, wakes the courier, waits a little for the outcome
    spool/     the durable middle, the only place where the two halves meet
    courier    claims it, has it converted by message/, sends it through works/, settles the outcome
    works/     the far side: pacing, the account's grant, the send-mail call, the diagnosis

Start reading at `service`, which builds all of it, or at `courier.Courier` for the heart.
"""

__version__ = "0.1.0"
