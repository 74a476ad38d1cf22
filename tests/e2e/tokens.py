"""A SoftHSM token and a TPM 2 in software for tests, each under a folder of its own; nothing of the machine's is touched.

The TPM is swtpm behind tpm2-abrmd, the resource manager, on a private D-Bus: like the kernel's /dev/tpmrm0 it serves several programs.
"""
import os
import pwd
import socket
import subprocess

PIN = '2468-sesame'
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/></policy></busconfig>
"""


def write_private(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as f:
        f.write(text)
    return path


class SoftHsm:
    """A token with the label `postern`. self.env: what its module needs in the environment."""

    def __init__(self, folder):
        self.dir = folder
        os.makedirs(os.path.join(folder, 'tokens'), mode=0o755)
        conf = os.path.join(folder, 'softhsm2.conf')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(f'directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n')
        self.env = {'SOFTHSM2_CONF': conf}
        self.pin_file = write_private(os.path.join(folder, 'pin'), PIN + '\n')
        subprocess.run(['softhsm2-util', '--init-token', '--free', '--label', 'postern', '--so-pin', 'so-secret', '--pin', PIN],
                       check=True, capture_output=True, env={**os.environ, **self.env})

    def uri(self, label):
        return f'pkcs11:token=postern;object={label}?pin-source=file:{self.pin_file}'

    def make(self, label, user=None):
        """A key of that label, as somebody else would make it, in files of that user."""
        subprocess.run(['pkcs11-tool', '--module', '/usr/lib/softhsm/libsofthsm2.so', '--token-label', 'postern', '--login', '--pin', PIN,
                        '--keypairgen', '--key-type', 'EC:prime256v1', '--label', label, '--id', os.urandom(8).hex()],
                       check=True, capture_output=True, env={**os.environ, **self.env}, user=user)

    def give_to(self, user):
        """The token's files, and not the PIN's, to the user (a name, or a number) that will use them."""
        uid = pwd.getpwnam(user).pw_uid if isinstance(user, str) else user
        for folder, _, files in os.walk(os.path.join(self.dir, 'tokens')):
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                os.chown(path, uid, -1)


class Tpm:
    """self.env: what the provider needs. daemon(name, argv, env) starts a process, wait_for(what, probe) waits."""

    def __init__(self, folder, daemon, wait_for):
        os.makedirs(os.path.join(folder, 'state'), mode=0o755)
        server, bus = os.path.join(folder, 'tpm'), os.path.join(folder, 'bus')
        conf = os.path.join(folder, 'bus.conf')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(BUS % bus)
        env = {**os.environ, 'DBUS_SESSION_BUS_ADDRESS': f'unix:path={bus}'}
        self.env = {'DBUS_SESSION_BUS_ADDRESS': f'unix:path={bus}', 'TPM2OPENSSL_TCTI': 'tabrmd:bus_type=session'}
        self.daemons = [daemon('swtpm', ['swtpm', 'socket', '--tpm2', '--tpmstate', f'dir={folder}/state', '--server',
                                         f'type=unixio,path={server}', '--ctrl', f'type=unixio,path={server}.ctrl', '--flags',
                                         'not-need-init,startup-clear'], env),
                        daemon('dbus-daemon', ['dbus-daemon', f'--config-file={conf}', '--nofork', '--nopidfile'], env)]
        wait_for('swtpm and dbus-daemon listen', lambda: self.listens(server + '.ctrl') and self.listens(bus))
        self.daemons.append(daemon('tpm2-abrmd', ['tpm2-abrmd', '--allow-root', '--session', f'--tcti=swtpm:path={server}'], env))
        wait_for('tpm2-abrmd serves the TPM', self.serves)

    @staticmethod
    def listens(path):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(path) == 0

    def serves(self):
        return subprocess.run(['tpm2_getrandom', '--hex', '4'], capture_output=True, check=False,
                              env={**os.environ, **self.env, 'TPM2TOOLS_TCTI': self.env['TPM2OPENSSL_TCTI']}).returncode == 0

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.stop()
