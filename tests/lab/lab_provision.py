#!/usr/bin/python3
"""Makes the AD domain once, with every account and state in it. Runs alone, as the only user of Samba's bindings.

usage: lab_provision.py DIR     writes DIR/samba/ and DIR/accounts.json; DIR/samba holds no path of itself that
                                matters: lab_samba.py writes a new configuration for each copy
"""
import json
import logging
import os
import sys
import time

import ldb
import samba.dckeytab  # gives Net its export_keytab  # noqa: F401  pylint: disable=unused-import
from samba import dsdb
from samba.auth import system_session
from samba.dcerpc import security
from samba.net import Net
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

import lab_accounts as table

TICKS = 10_000_000
EPOCH = 11644473600  # seconds from 1601 to 1970
YEARS_10 = 10 * 365 * 86400 * TICKS
DOMAIN_FILE = 'sam.ldb.d/DC=CORP,DC=EXAMPLE.ldb'


def nt_time(unix):
    return str((int(unix) + EPOCH) * TICKS)


class Domain:
    """The provisioned directory, opened with all of Samba's modules; raw() goes around them."""

    def __init__(self, folder, admin_password):
        conf = os.path.join(folder, 'empty.conf')
        with open(conf, 'w', encoding='utf-8'):
            pass
        self.lp = LoadParm()
        self.lp.load(conf)
        self.lp.set('interfaces', '127.0.0.2/8')
        self.lp.set('bind interfaces only', 'yes')
        logger = logging.getLogger('provision')
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        result = provision(logger, system_session(), smbconf=conf, targetdir=folder, samdb_fill='FULL',
                           realm=table.REALM, domain=table.NETBIOS, hostname=table.DC_NAME, hostip='127.0.0.2',
                           adminpass=admin_password, dns_backend='NONE',
                           serverrole='active directory domain controller',
                           dom_for_fun_level=dsdb.DS_DOMAIN_FUNCTION_2008_R2, use_ntvfs=False,
                           skip_sysvolacl=True, lp=self.lp, batch_mode=True)
        self.private = result.paths.private_dir
        self.lp = result.lp
        self.db = SamDB(url=os.path.join(self.private, 'sam.ldb'), session_info=system_session(), lp=self.lp)

    def replace(self, dn, **values):
        message = ldb.Message(ldb.Dn(self.db, str(dn)))
        for name, value in values.items():
            message[name.replace('__', '-')] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name.replace('__', '-'))
        self.db.modify(message)

    def raw(self, dn, **values):
        """Writes into the partition's own file what the directory's rules would refuse."""
        raw = ldb.Ldb(os.path.join(self.private, DOMAIN_FILE))
        message = ldb.Message(ldb.Dn(raw, str(dn)))
        for name, value in values.items():
            message[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
        raw.modify(message)

    def raw_delete(self, dn, name):
        raw = ldb.Ldb(os.path.join(self.private, DOMAIN_FILE))
        message = ldb.Message(ldb.Dn(raw, str(dn)))
        message[name] = ldb.MessageElement([], ldb.FLAG_MOD_DELETE, name)
        raw.modify(message)

    def dn(self, sam):
        found = self.db.search(base=self.db.domain_dn(), expression=f'(sAMAccountName={ldb.binary_encode(sam)})',
                               attrs=['objectSid'])
        if len(found) != 1:
            raise RuntimeError(f'{sam}: {len(found)} accounts')
        return found[0].dn

    def sid(self, sam):
        found = self.db.search(base=self.dn(sam), scope=ldb.SCOPE_BASE, attrs=['objectSid'])
        return str(ndr_unpack(security.dom_sid, found[0]['objectSid'][0]))

    def add_uac(self, sam, bits):
        found = self.db.search(base=self.dn(sam), scope=ldb.SCOPE_BASE, attrs=['userAccountControl'])
        self.replace(self.dn(sam), userAccountControl=str(int(found[0]['userAccountControl'][0]) | bits))

    def export_keytab(self, path, principal):
        Net(None, self.lp).export_keytab(keytab=path, principal=principal)


def set_policy(domain):
    """Lockout after 5; durations so long that a cached domain doesn't change its states by ageing."""
    base = domain.db.domain_dn()
    domain.replace(base, pwdProperties='0', minPwdAge='0', maxPwdAge=str(-YEARS_10), minPwdLength='1',
                   lockoutDuration=str(-YEARS_10), lockoutThreshold=str(table.LOCKOUT_THRESHOLD),
                   lockOutObservationWindow=str(-table.LOCKOUT_WINDOW_MIN * 60 * TICKS))
    domain.replace(f'CN=Partitions,CN=Configuration,{base}', uPNSuffixes=table.ALT_SUFFIX)


def add_users(domain, accounts):
    for account in accounts.values():
        first = account.get('previous_password', account['password'])
        domain.db.newuser(account['sam'], first)
        dn = domain.dn(account['sam'])
        if account['sam'] != 'twina':
            domain.replace(dn, userPrincipalName=account['alt_upn'])
        domain.replace(dn, mail=account['mail'])
        account['sid'] = domain.sid(account['sam'])


def set_states(domain, accounts):
    now = time.time()
    old = nt_time(1_000_000_000)
    domain.add_uac('disabled', dsdb.UF_ACCOUNTDISABLE)
    domain.replace(domain.dn('mustchange'), pwdLastSet='0')
    domain.replace(domain.dn('accountexpired'), accountExpires=old)
    domain.replace(domain.dn('hours'), logonHours=b'\0' * 21)
    domain.replace(domain.dn('workstation'), userWorkstations='ELSEWHERE')
    domain.db.add_remove_group_members('Protected Users', ['protected'])
    domain.raw(domain.dn('expired'), pwdLastSet=old)
    domain.raw(domain.dn('locked'), badPwdCount=str(table.LOCKOUT_THRESHOLD), badPasswordTime=nt_time(now),
               lockoutTime=nt_time(now))
    change = accounts['previous']
    domain.db.setpassword('(sAMAccountName=previous)', change['password'])


def add_groups(domain):
    for name in (table.INNER_GROUP, table.OUTER_GROUP):
        domain.db.newgroup(name)
    domain.db.add_remove_group_members(table.INNER_GROUP, ['good1'])
    domain.db.add_remove_group_members(table.OUTER_GROUP, [table.INNER_GROUP])
    for i in range(table.MANY_GROUPS):
        domain.db.newgroup(f'crowd{i:03}')
        domain.db.add_remove_group_members(f'crowd{i:03}', ['manygroups'])


def set_odd_states(domain):
    """States of keys and flags, and who may change a password."""
    domain.replace(domain.dn('rc4only'), msDS__SupportedEncryptionTypes='4')
    domain.raw_delete(domain.dn('rc4only'), 'supplementalCredentials')  # AES keys are in there, the NT hash is not
    domain.replace(domain.dn('aesonly'), msDS__SupportedEncryptionTypes='24')
    domain.raw(domain.dn('twina'), userPrincipalName=f'twinb@{table.DOMAIN}')  # the rules for UPNs refuse it
    domain.add_uac('nopreauth', dsdb.UF_DONT_REQUIRE_PREAUTH)
    domain.add_uac('smartcard', dsdb.UF_SMARTCARD_REQUIRED)
    domain.raw(domain.dn('changeexpired'), pwdLastSet=nt_time(1_000_000_000))
    for sam in ('changemust', 'changemust2'):
        domain.replace(domain.dn(sam), pwdLastSet='0')
    # [MS-ADTS] 3.1.1.3.1.5: "User-Change-Password" denied to Everyone is "User cannot change password"
    SDUtils(domain.db).dacl_add_ace(str(domain.dn('changedenied')),
                                    f'(OD;;CR;{security.GUID_DRS_USER_CHANGE_PASSWORD};;WD)'
                                    f'(OD;;CR;{security.GUID_DRS_USER_CHANGE_PASSWORD};;PS)')


def set_kinds(domain):
    """Accounts that are no people's, and one that may not read its own entry."""
    domain.raw(domain.dn('evilpc$'), userAccountControl=str(dsdb.UF_WORKSTATION_TRUST_ACCOUNT),
               sAMAccountType=str(dsdb.ATYPE_WORKSTATION_TRUST), primaryGroupID='515')
    SDUtils(domain.db).dacl_add_ace(str(domain.dn('noread')), '(D;;RPLCLO;;;PS)')


def add_policies(domain):
    """Fine-grained password policies ([MS-ADTS] 3.1.1.1.5.2)."""
    base = f'CN=Password Settings Container,CN=System,{domain.db.domain_dn()}'
    for number, (name, (length, complexity, history, days, sam)) in enumerate(table.POLICIES.items(), 1):
        domain.db.add({
            'dn': f'CN={name},{base}', 'objectClass': 'msDS-PasswordSettings',
            'msDS-PasswordSettingsPrecedence': str(number), 'msDS-PasswordReversibleEncryptionEnabled': 'FALSE',
            'msDS-PasswordHistoryLength': str(history), 'msDS-PasswordComplexityEnabled': str(complexity).upper(),
            'msDS-MinimumPasswordLength': str(length), 'msDS-MinimumPasswordAge': str(-days * 86400 * TICKS),
            'msDS-MaximumPasswordAge': str(-YEARS_10), 'msDS-LockoutThreshold': str(table.LOCKOUT_THRESHOLD),
            'msDS-LockoutObservationWindow': str(-table.LOCKOUT_WINDOW_MIN * 60 * TICKS),
            'msDS-LockoutDuration': str(-YEARS_10), 'msDS-PSOAppliesTo': str(domain.dn(sam)),
        })


def add_service(domain, folder):
    domain.db.newuser('svc-postern', table.new_password())
    domain.replace(domain.dn('svc-postern'), servicePrincipalName=table.SERVICE_SPN,
                   msDS__SupportedEncryptionTypes='24')
    domain.db.setpassword('(sAMAccountName=svc-postern)', table.new_password())
    domain.export_keytab(os.path.join(folder, 'connector.keytab'), table.SERVICE_SPN)
    # the account's own name, too: a client of the KDC, for armour
    domain.export_keytab(os.path.join(folder, 'armor.keytab'), table.SERVICE_SPN)
    domain.export_keytab(os.path.join(folder, 'armor.keytab'), 'svc-postern')


def main():
    target = os.path.abspath(sys.argv[1])
    folder = os.path.join(target, 'samba')
    os.makedirs(folder, mode=0o700)
    accounts = table.ad_accounts()
    admin = {'sam': 'Administrator', 'upn': 'Administrator@' + table.DOMAIN, 'password': table.new_password()}
    domain = Domain(folder, admin['password'])
    set_policy(domain)
    add_users(domain, accounts)
    set_states(domain, accounts)
    set_odd_states(domain)
    set_kinds(domain)
    add_groups(domain)
    add_policies(domain)
    add_service(domain, folder)
    admin['sid'] = domain.sid('Administrator')
    result = {'users': accounts, 'admin': admin, 'service_sid': domain.sid('svc-postern'),
              'domain_sid': str(domain.db.domain_sid)}
    with open(os.path.join(target, 'accounts.json'), 'w', encoding='utf-8') as out:
        json.dump(result, out, ensure_ascii=False, indent=1)


if __name__ == '__main__':
    main()
