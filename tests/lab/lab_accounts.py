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
DC2_NAME = 'dc2'
DC2_HOST = 'dc2.corp.example'
ALT_SUFFIX = 'corp.com'
SERVICE_SPN = 'host/connector.corp.example'
LOCKOUT_THRESHOLD = 5
LOCKOUT_WINDOW_MIN = 30

MIT_REALM = 'MIT.EXAMPLE'
MIT_SERVICE = 'host/connector.mit.example'
MIT_FAR_REALM = 'FAR.EXAMPLE'  # MIT_REALM trusts it

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
    'rc4-only': ('rc4only', None, OK, OK),  # for kinit, which offers RC4; 14 for a client that doesn't
    'aes-only': ('aesonly', None, OK, OK),
    'no-preauth': ('nopreauth', None, OK, OK),
    'smartcard': ('smartcard', None, '52e', 24),
    'many-groups': ('manygroups', None, OK, OK),
    # twin-a's explicit UPN is twin-b's implicit one; rené and rene differ by an accent alone
    'twin-a': ('twina', 'twinb@' + DOMAIN, OK, OK),
    'twin-b': ('twinb', None, '52e', 24),  # the UPN, and for Samba's KDC even the plain name, is the other's
    'accent': ('rene', None, OK, OK),
    'same-mail-1': ('samemail1', None, OK, OK),
    'same-mail-2': ('samemail2', None, OK, OK),
    'svc-search': ('svc-search', None, OK, OK),
    **{f'change{i}': (f'change{i}', None, OK, OK) for i in range(1, 9)},
    'change-expired': ('changeexpired', None, '532', 23),
    'change-must': ('changemust', None, '773', 23),
    'change-must2': ('changemust2', None, '773', 23),
    'change-strict': ('changestrict', None, OK, OK),
    'change-young': ('changeyoung', None, OK, OK),
    # of other kinds than people: a computer, with a UPN as any may have; and a user who may not read their own entry
    'computer': ('evilpc$', 'evilpc.user@' + DOMAIN, OK, OK),
    'no-read': ('noread', None, OK, OK),
    'change-denied': ('changedenied', None, OK, OK),
}
SAME_MAIL = 'shared.box@mail.example'
MANY_GROUPS = 150
INNER_GROUP, OUTER_GROUP = 'inner-group', 'outer-group'  # good1 is in the inner one, that in the outer one
# name -> (least length, complexity, history, least age in days, who): fine-grained policies, the domain's own asks nothing
POLICIES = {
    'strict': (12, True, 5, 0, 'changestrict'),
    'young': (1, False, 0, 1, 'changeyoung'),
}
NO_ALT_UPN = ('alt-suffix', 'twin-a', 'computer')


def ad_accounts():
    """label -> account with a fresh random password; expectations included."""
    accounts = {}
    table = {f'good{i}': (f'good{i}', None, OK, OK) for i in range(1, GOOD_USERS + 1)}
    for label, (sam, upn, ldap, krb) in {**table, **STATES}.items():
        accounts[label] = {
            'sam': sam,
            'upn': upn or f'{sam}@{DOMAIN}',
            'alt_upn': f'{sam}@{ALT_SUFFIX}' if label not in NO_ALT_UPN else upn,
            'mail': SAME_MAIL if label.startswith('same-mail') else f'{label}.box@mail.example',
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
