"""The text forms of PROTOCOL.md, section 2, read strictly: json.loads takes duplicate members, 7.0 and NaN, and base64 loose bits."""
import base64
import json
import re


class Refused(Exception):
    """what: the word that a vector or a caller knows it by."""

    def __init__(self, what, text):
        super().__init__(text)
        self.what = what


def malformed(text):
    return Refused('malformed', text)


def unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise malformed('JSON: a member is repeated')
    return found


def plain_integer(text):
    value = int(text)
    if abs(value) > 2 ** 53 - 1:
        raise malformed('JSON: an integer out of range')
    return value


def no_fraction(_text):
    raise malformed('JSON: a number that is no integer')


def texts_of(value):
    """Every string inside, members' names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def parse_object(data, nul_in=()):
    """Exactly one JSON object from bytes. NUL may stand in the top-level members named in nul_in alone."""
    try:
        text = data.decode('utf-8') if isinstance(data, bytes) else data
        value = json.loads(text, object_pairs_hook=unique, parse_int=plain_integer, parse_float=no_fraction, parse_constant=no_fraction)
    except (UnicodeDecodeError, ValueError, RecursionError) as e:
        raise malformed(f'JSON: {e}') from None
    if not isinstance(value, dict) or not re.match(r'[ \t\r\n]*\{', text):
        raise malformed('JSON: not an object')
    for found in texts_of(value):
        if any('\ud800' <= c <= '\udfff' for c in found):
            raise malformed('JSON: a lone surrogate')
    if any('\0' in found for found in texts_of({k: v for k, v in value.items() if k not in nul_in})):
        raise malformed('JSON: a string holds NUL')
    return value


def from_b64u(text, n=None):
    if not isinstance(text, str) or not re.fullmatch(r'[A-Za-z0-9_-]+', text):
        raise malformed('not base64url')
    try:
        data = base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
    except ValueError:
        raise malformed('not base64url') from None
    if to_b64u(data) != text:
        raise malformed('base64url with loose bits')
    if n is not None and len(data) != n:
        raise malformed(f'not {n} bytes')
    return data


def to_b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode('ascii')


def members(value, required, optional=()):
    if not isinstance(value, dict):
        raise malformed('not an object')
    if set(required) - set(value):
        raise malformed('a member is missing')
    if set(value) - set(required) - set(optional):
        raise malformed('a member that is not listed')
    return value


def integer(value, least=0, most=2 ** 53 - 1):
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise malformed('not an integer in its range')
    return value


def string(value, most, pattern=None, least=0):
    """Of at most so many bytes, and wholly of the pattern."""
    if not isinstance(value, str) or not least <= len(value.encode('utf-8')) <= most or (pattern and not re.fullmatch(pattern, value)):
        raise malformed('not a string within its limits')
    return value


def array(value, most, least=0):
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise malformed('not an array within its limits')
    return value


def word(value, words):
    if not isinstance(value, str) or value not in words:
        raise malformed('a word that is not listed')
    return value


def identifier(value):
    return string(value, 64, r'[A-Za-z0-9-]{16,}')


def tenant_name(value):
    return string(value, 64, r'[a-z0-9-]+')


def kid(value):
    from_b64u(value, 32)
    return value
