"""Sign-ins per second, latency and CPU per sign-in of every process, through the real relay and one connector.

LDAP against slapd and Kerberos against the MIT KDC (fast peers, so that ours is what is measured), at 1, 8, 64, 256 and 768 in flight, and the
memory of every idle process. Run by `meson test --benchmark` in a release build; prints a table.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))
from postern_site import USERS, Connector, Site  # noqa: E402

LAB = {k: v for k, v in os.environ.items() if k.startswith('LAB_')}
TICK = os.sysconf('SC_CLK_TCK')
FLIGHTS = [(1, 300), (8, 1000), (64, 2000), (256, 4000), (768, 4000)]


def cpu(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pss(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('Pss:'))


def config(site, name, method):
    head = f'[connector]\nname = {name}\nstate_dir = {site.dir}/{name}/state\nruntime_dir = {site.dir}/{name}/run\nin_flight = 768\n{USERS}'
    if method == 'ldap':
        return head + (f"[domain {LAB['LAB_SLAPD_DOMAIN']}]\ndirectory = generic\ndcs = {LAB['LAB_SLAPD_HOST']}@{LAB['LAB_SLAPD_ADDRESS']}\n"
                       f"methods = ldap\nldaps_port = {LAB['LAB_SLAPD_LDAPS_PORT']}\nca_file = {LAB['LAB_CA']}\n"
                       f"bind_template = {LAB['LAB_SLAPD_BIND_TEMPLATE']}\n")
    return head + (f"[domain {LAB['LAB_MIT_DOMAIN']}]\nrealm = {LAB['LAB_MIT_REALM']}\ndirectory = generic\n"
                   f"dcs = {LAB['LAB_MIT_HOST']}@{LAB['LAB_MIT_ADDRESS']}\nmethods = krb5\nkdc_port = {LAB['LAB_MIT_KDC_PORT']}\n"
                   f"keytab = {LAB['LAB_MIT_KEYTAB']}\nservice_principal = {LAB['LAB_MIT_SERVICE']}\n")


def users(method):
    label, domain = ('SLAPD', LAB['LAB_SLAPD_DOMAIN']) if method == 'ldap' else ('MIT', LAB['LAB_MIT_DOMAIN'])
    return ''.join(f"u{i}@{domain}\t{LAB[f'LAB_{label}_U{i}_PASSWORD']}\n" for i in range(50))


def load(site, connector, method, parallel, count):
    argv = [os.path.join(site.build, 'tests', 'bench', 'load'), '-s', site.service, '-n', str(count), '-p', str(parallel), '-b', '15000',
            '-c', connector.name]
    done = subprocess.run(argv, input=users(method), capture_output=True, text=True, check=True, env=site.env)
    summary = json.loads(done.stdout.splitlines()[-1])
    if summary['accepted'] != count:
        raise AssertionError(f'not all accepted: {summary}')
    return summary


def measure(site, connector, method):
    pids = {'relay': site.relay.pid, **connector.daemon.children()}
    load(site, connector, method, 16, 100)
    for parallel, count in FLIGHTS:
        before = {name: cpu(pid) for name, pid in pids.items()}
        summary = load(site, connector, method, parallel, count)
        per = {name: (cpu(pid) - before[name]) * 1e6 / count for name, pid in pids.items()}
        parts = '  '.join(f'{name.replace("postern-", "")} {us:.0f}' for name, us in sorted(per.items()))
        print(f"{method:5} {parallel:4} in flight: {summary['per_second']:7.0f}/s  p50 {summary['p50_ms']:7.1f} ms  p99 {summary['p99_ms']:7.1f} ms"
              f"   CPU µs per sign-in: {parts}", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix='postern-bench-') as top, Site(sys.argv[1], top, LAB) as site:
        site.start_relay(sign_ins_per_second=100000, sign_in_burst=100000)
        site.make_tenant()
        site.make_service()
        for name, method in (('bench-ldap', 'ldap'), ('bench-krb5', 'krb5')):
            site.connectors[name] = Connector(site, name, config(site, name, method))
            site.connectors[name].domains = LAB['LAB_SLAPD_DOMAIN' if method == 'ldap' else 'LAB_MIT_DOMAIN']
            site.connectors[name].up()
        c = site.connectors['bench-ldap']
        idle = {'relay': site.relay.pid, 'supervisor': c.daemon.pid, **c.daemon.children()}
        print('PSS idle, KiB: ' + '  '.join(f'{name} {pss(pid)}' for name, pid in idle.items()), flush=True)
        for name, method in (('bench-ldap', 'ldap'), ('bench-krb5', 'krb5')):
            measure(site, site.connectors[name], method)


if __name__ == '__main__':
    main()
