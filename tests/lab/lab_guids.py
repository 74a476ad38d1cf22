#!/usr/bin/python3
"""Prints {"dc1": GUID, ...}: the NTDS settings of the controllers, as the database in DIR has them.

usage: lab_guids.py DIR     DIR/run.conf need not exist; DIR/etc/smb.conf is read
"""
import json
import os
import sys

from samba.auth import system_session
from samba.dcerpc import misc
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB


def main():
    folder = sys.argv[1]
    lp = LoadParm()
    lp.load(os.path.join(folder, 'etc', 'smb.conf'))
    db = SamDB(url=os.path.join(folder, 'private', 'sam.ldb'), session_info=system_session(), lp=lp)
    found = db.search(base=str(db.get_config_basedn()), expression='(objectClass=nTDSDSA)', attrs=['objectGUID'])
    # CN=NTDS Settings,CN=DC1,CN=Servers,...
    print(json.dumps({str(m.dn).split(',')[1][3:].lower(): str(ndr_unpack(misc.GUID, m['objectGUID'][0])) for m in found}))


if __name__ == '__main__':
    main()
