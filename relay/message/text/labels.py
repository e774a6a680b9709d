"""Charset labels, and the codec that is meant by each.

The labels and their supersets are those of the WHATWG Encoding Standard §4.2, as browsers and mail
programs read them (`iso-8859-1` means windows-1252); beside them the names that mailers made up. The codec
names are Python's, or one of ours (see `charsets`): `iso-2022-jp`, `euc-jp`.
"""

import codecs

_LABELS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf8mb4 utf8mb3"
    " utf-8-sig"
    " utf-8-mac utf_8 cp65001 unicode-2-0-utf-8 utf",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5"
    " iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
    " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7"
    " iso88597 iso_8859-7"
    " iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8"
    " iso88598 iso_8859-8"
    " iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9 latin9 latin-9",
    "iso8859-16": "iso-8859-16 iso8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman mac-roman",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 cp874 tis620 tis_620",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251 win-1251 win1251",
    "cp1252": "ansi_x3.4-1968 cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591"
    " iso_8859-1 iso_8859-1:1987 l1 latin1 windows-1252 x-cp1252 latin-1 iso8859_1 ansi x-ansi western",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989"
    " l5 latin5"
    " windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian mac-cyrillic",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030"
    " cp936 ms936"
    " windows-936 euc-cn gb-2312 gb2312-80 gb-18030 cn-gb"
    " x-mac-chinesesimp",
    "big5": "big5 big5-hkscs cn-big5 csbig5 x-x-big5 cp950 windows-950 ms950 big-5 big5hkscs"
    " x-mac-chinesetrad",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp x-euc eucjp euc_jp eucjp-ms eucjp-win cp51932"
    " euc-jp-ms eucjpms ujis"
    " extended_unix_code_packed_format_for_japanese",
    "iso-2022-jp": "csiso2022jp iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-ms"
    " iso2022-jp iso2022jp"
    " iso-2022-jp-ext cp50220 cp50221 cp50222 jis junet csiso2022jp2 x-iso-2022-jp iso_2022-jp"
    " iso2022_jp iso-2022-jp-2004 iso-2022jp jis7 x-cp50220"
    " x-cp50221",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis cp932 shiftjis"
    " s-jis x-ms-cp932"
    " cswindows31j windows-932 sjis-win shift_jisx0213 shift_jis-2004 x-shift-jis x-shift_jis ms-kanji"
    " ibm-943 cp943 x-mac-japanese",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601"
    " ksc_5601 windows-949"
    " cp949 ms949 uhc x-windows-949 euckr ks_c_5601 ksc5601-1987 x-euc-kr euc_kr ks-c-5601"
    " ks_c_5601_1987 ks-c-5601-1987 x-mac-korean",
    "iso2022_kr": "iso-2022-kr csiso2022kr iso2022kr iso2022-kr",
    "hz": "hz-gb-2312 hz hz-gb",
    "utf-7": "utf-7 utf7 unicode-1-1-utf-7 csunicode11utf7 x-unicode-2-0-utf-7 unicode-2-0-utf-7 utf-7-imap",
    "utf-16-le": "unicodefeff utf-16le utf-16-le ucs-2le",
    "utf-16": "utf-16 utf16 csunicode iso-10646-ucs-2 ucs-2 unicode",
    "utf-16-be": "unicodefffe utf-16be utf-16-be",
    "utf-32": "utf-32 utf32 ucs-4 iso-10646-ucs-4",
    "utf-32-be": "utf-32be",
    "utf-32-le": "utf-32le",
    "us-ascii": "us-ascii ascii iso646-us us iso_646.irv:1991 ansi_x3.4-1986 cp367 ibm367 csascii"
    " iso-ir-6 7bit us_ascii"
    " usascii asc",
    "ptcp154": "ptcp154 cyrillic-asian pt154",
    "johab": "johab ms1361 cp1361",
    "gb2312": "iso-2022-cn",
}
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
# What Microsoft's programs number beyond code pages of that name ([MS-UCODEREF] §2.2.1).
_PAGES = {
    20127: "us-ascii",
    20866: "koi8-r",
    21866: "koi8-u",
    28591: "iso-8859-1",
    28592: "iso-8859-2",
    28593: "iso-8859-3",
    28594: "iso-8859-4",
    28595: "iso-8859-5",
    28596: "iso-8859-6",
    28597: "iso-8859-7",
    28598: "iso-8859-8",
    28599: "iso-8859-9",
    28603: "iso-8859-13",
    28605: "iso-8859-15",
    38598: "iso-8859-8-i",
    50225: "iso-2022-kr",
    51936: "gb2312",
    51949: "euc-kr",
    52936: "hz-gb-2312",
    54936: "gb18030",
    65000: "utf-7",
}
_CODECS |= {f"cp{page}": _CODECS[label] for page, label in _PAGES.items()}
# Python's codecs beyond the table that a mail may name: code pages and ISO parts. Never its own
# transformations (rot13, base64, idna, unicode_escape): they are no charsets.
_ALSO = {
    f"cp{page}" for page in (437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 869, 1125)
}
_ALSO |= {
    "cp037",
    "cp500",
    "cp1026",
    "cp1140",
    "hp-roman8",
    "viscii",
    "koi8-t",
    "tis-620",
    "mac-greek",
    "mac-latin2",
}


def all_codecs() -> set[str]:
    """Every codec that a label can mean, those that are ours included."""
    return {*_CODECS.values(), *filter(_is_known, _ALSO)}


def find_codec(label: str) -> str:
    """The codec that a label means, "" when it means none.

    Tried as it stands, then without what senders put around it: quotes, escapes (`_iso-2022-jp$ESC`),
    `x-`, `cp-`, `ibm`, `windows`; a comment behind it is none of it (RFC 2045 §5.1).
    """
    label = label.partition(" (")[0]
    name = label.strip().strip("\"'`*,;:()<>").lower()
    for one in dict.fromkeys((name, name.replace("_", "-"), name.replace(" ", "-"), *_trims(name))):
        if one in _CODECS:
            return _CODECS[one]
        if one in _ALSO and _is_known(one):
            return one
    return ""


def _trims(name: str) -> tuple[str, ...]:
    bare = name.lstrip("_-=").partition("$esc")[0].partition("$")[0].removeprefix("charset=").strip("\"' ")
    digits = "".join(filter(str.isdigit, bare))
    named = bare.startswith(("cp", "ibm", "windows", "win", "x-cp", "dos", "x-windows", "ms", "ccsid"))
    pages = (f"cp{digits}",) if named and digits else ()
    return (
        bare,
        bare.removeprefix("x-"),
        bare.removeprefix("cs"),
        bare.replace("iso-8859_", "iso-8859-"),
        *pages,
    )


def _is_known(codec: str) -> bool:
    try:
        codecs.lookup(codec)
    except LookupError:
        return False
    return True
