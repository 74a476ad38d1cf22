"""The accounts of the lab: who exists, in which state, and what a sign-in with the right password must answer.

Only data: lab_provision.py makes the AD accounts from this table, lab_mit.py and lab_slapd.py theirs; the self-test
and other tests read the expectations. The label, not the name, is what lab.env and lab.json use as a key.
"""
import secrets

REALM = 'CORP.EXAMPLE'
DOMAIN = 'corp.example'
NETBIOS = 'CORP'
BASE = 'DC=corp,DC=example'
DC_NAME = 'dc1'
DC_HOST = 'dc1.corp.example'
ALT_SUFFIX = 'corp.com'
SERVICE_SPN = 'host/connector.corp.example'
LOCKOUT_THRESHOLD = 5
LOCKOUT_WINDOW_MIN = 30

MIT_REALM = 'MIT.EXAMPLE'
MIT_SERVICE = 'host/connector.mit.example'

SLAPD_DOMAIN = 'slapd.example'
SLAPD_HOST = 'ldap1.slapd.example'
SLAPD_BASE = 'dc=slapd,dc=example'
SLAPD_SID = 'S-1-5-21-1111111111-2222222222-3333333333'

GOOD_USERS = 20
PEER_USERS = 50  # u0..u49 of the MIT KDC and of slapd

OK = 'ok'

# label -> (sAMAccountName, UPN or None for sam@domain, LDAP: OK or the `data` code, Kerberos: OK or the KRB-ERROR code)
STATES = {
    'alt-suffix': ('altsuffix', 'alt.suffix@' + ALT_SUFFIX, OK, OK),
    'utf8': ('rené', None, OK, OK),
    'disabled': ('disabled', None, '533', 18),
    'locked': ('locked', None, '775', 18),
    'expired': ('expired', None, '532', 23),
    'must-change': ('mustchange', None, '773', 23),
    'account-expired': ('accountexpired', None, '701', 18),
    'hours': ('hours', None, '530', 18),
    'workstation': ('workstation', None, '531', OK),
    'protected': ('protected', None, '52f', OK),
    'previous': ('previous', None, OK, OK),
}


def ad_accounts():
    """label -> account with a fresh random password; expectations included."""
    accounts = {}
    table = {f'good{i}': (f'good{i}', None, OK, OK) for i in range(1, GOOD_USERS + 1)}
    for label, (sam, upn, ldap, krb) in {**table, **STATES}.items():
        accounts[label] = {
            'sam': sam,
            'upn': upn or f'{sam}@{DOMAIN}',
            'password': new_password(),
            'expect_ldap': ldap,
            'expect_krb': krb,
        }
    accounts['utf8']['password'] += '-ßé€𝄞'
    accounts['previous']['previous_password'] = new_password()
    return accounts


def new_password():
    """Random, and of three classes of characters even when the domain asks for them."""
    return 'Pw1-' + secrets.token_urlsafe(12)
