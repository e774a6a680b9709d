"""From the octets of a message to the API's requests; pure: no sockets, no clock, no logging.

structure    the tree of parts, as ranges of the content
swallowed    a part that stands in the one before it
late_fields  fields behind an empty line that came too early
decoding     a part's octets and what is wrong with them; base64_lines: which lines are Base64
hints        raw fields read by the charsets that the message declares elsewhere
body         which parts are the body, which are files
parse        both put together: a Mail
options      what a message asks for by fields of its own: security level, tracking …
recipients   envelope and destination fields → to, cc, bcc of each request
convert      the losses settled as the configuration says, the requests made
payload      the JSON body as a stream of known length
"""

from relay.mail import make_loss
from relay.message.convert import (
    Converted,
    Request,
    are_fields_plain,
    check_options,
    convert,
    destinations,
    make_mail,
    make_requests,
    name_again,
    originator,
    originator_address,
    originators,
)
from relay.message.payload import Payload

__all__ = [
    "Converted",
    "Payload",
    "Request",
    "are_fields_plain",
    "check_options",
    "convert",
    "destinations",
    "make_loss",
    "make_mail",
    "make_requests",
    "name_again",
    "originator",
    "originator_address",
    "originators",
]
