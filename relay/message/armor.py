"""The armour of OpenPGP in a text or file, held to what it says of itself (RFC 9580 §6.2).

The text goes along as it is. Whoever cannot open it is to learn that it was cut or changed before it came
here.
"""

import base64
import re

from relay.envelope import Buffer
from relay.mail import Leaf
from relay.message.decoding import LONGEST_CHECKED, decode_leaf, is_checked
from relay.message.transfer import ALPHABET

BEGIN = b"-----BEGIN PGP "
_BEGINS = (BEGIN, base64.b64encode(BEGIN))  # as a body, and in Base64
# With its header fields, and the empty line behind them.
_ARMOR = re.compile(
    rb"^-----BEGIN PGP (?P<kind>(?!SIGNED)[A-Z0-9 ,/]{1,40})-----[ \t]*\r?\n"
    rb"(?:[A-Z][A-Za-z]{1,20}:[^\n]{0,200}\n)*[ \t]*\r?\n"
    rb"(?P<data>(?:[A-Za-z0-9+/]{1,100}={0,2}[ \t]*\r?\n)+)"
    rb"(?:=(?P<sum>[A-Za-z0-9+/]{4})[ \t]*\r?(?:\n|\Z))?[ \t\r\n]*(?P<end>-----END PGP (?P=kind)-----)?",
    re.MULTILINE,
)
_MOST = 20  # of them that are looked at


def find_damage(octets: bytes) -> str:
    """What is wrong with the armour in these octets; "" for nothing, or where there is none."""
    if BEGIN not in octets or len(octets) > LONGEST_CHECKED:
        return ""
    for number, found in enumerate(_ARMOR.finditer(octets)):
        if number == _MOST:
            break
        if not found["end"]:
            return "its OpenPGP armour has no end, or lines that are none of it"
        data = found["data"].translate(None, b"\r\n \t")
        if len(data) % 4 or data.rstrip(b"=").translate(None, ALPHABET):
            return "its OpenPGP armour is cut within a quantum of Base64"
        if found["sum"] and not is_checked(base64.b64decode(data), found["sum"]):
            return "the checksum of its OpenPGP armour is that of other octets"
    return ""


def find_damage_of_file(content: Buffer, leaf: Leaf) -> str:
    """The same of a file that begins with armour."""
    if leaf.end - leaf.start > LONGEST_CHECKED:
        return ""
    begins = bytes(content[leaf.start : leaf.start + len(_BEGINS[1])]).startswith(_BEGINS)
    return find_damage(decode_leaf(content, leaf)) if begins else ""
