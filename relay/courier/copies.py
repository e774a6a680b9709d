"""Who gets a message beside its recipients ([delivery] always_bcc), or in their place (redirect_all)."""

from collections.abc import Sequence
from dataclasses import replace

from relay.config.model import Delivery
from relay.mail import Conversion
from relay.message import Converted


def address(
    delivery: Delivery, paths: Sequence[str], how: Conversion, archive: Sequence[str]
) -> tuple[list[str], Conversion]:
    """Whom the requests of a message go to, and how it is converted for them.

    Args:
        delivery: the configuration's rules.
        paths: the recipients who are still to be served.
        how: how it would be converted for these.
        archive: who of always_bcc has no copy yet. Where everything is redirected nobody gets one: what is
            tried out is no record.
    """
    if delivery.redirect_all:
        return list(delivery.redirect_all), replace(how, redirected=True)
    return [*paths, *archive], how


def settle_recipients(delivery: Delivery, converted: Converted, paths: Sequence[str]) -> Converted:
    """The requests, with the recipients that each is recorded to serve.

    What goes elsewhere in place of its recipients serves all of them: nobody else is to get it.
    """
    if not delivery.redirect_all:
        return converted
    requests = tuple(replace(one, recipients=tuple(paths)) for one in converted.requests)
    return replace(converted, requests=requests)
