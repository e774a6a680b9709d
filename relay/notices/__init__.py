"""Telling a person: the sender about mail that was not sent, the operator about our own trouble.

A notice is a message like any other: it is put into the spool and sent through Works, with the null
reverse-path, so that nothing is ever said about it, and loops cannot be (RFC 5321 §4.5.5).

sender         who is told of a failure, and through which account
operator_mail  who is told of trouble, how often, and by which ways that are left
told           what the operator was told, kept on disk
compose        the messages
texts          their words, in English, Japanese and Korean
"""

from relay.notices.operator_mail import OperatorMail
from relay.notices.sender import Senders

__all__ = ["OperatorMail", "Senders"]
