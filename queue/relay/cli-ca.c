/*
 * postern-relay ca ...: the transport CA's files. `root` and `sign` are for the machine that keeps the root, the others
 * for a relay's; a relay that runs takes up what changed when it is reloaded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/relay/ca-node.h"
#include "queue/relay/cli-internal.h"

static const char reload[] = "Reload each relay that should know of it: systemctl reload postern-relay";

/* ---- the root's machine ---- */

int relay_cli_offline(int argc, char **argv)
{
        const bool root = argc == 3 && strcmp(argv[0], "ca") == 0 && strcmp(argv[1], "root") == 0;
        const bool sign = argc == 4 && strcmp(argv[0], "ca") == 0 && strcmp(argv[1], "sign") == 0;
        _cleanup_(buffer_free) struct buffer pem = BUFFER(65536);
        struct error err;

        if (!root && !sign)
                return -1;
        if (root && ca_make_root(argv[2], time(NULL), &err) < 0)
                return relay_cli_complain("ca root", err.text);
        if (root)
                printf("Made %s/root.key and %s/root.pem. Keep the key off every network. On each relay: postern-relay "
                       "ca trust root.pem\n",
                       argv[2], argv[2]);
        if (sign && ca_sign(argv[2], argv[3], time(NULL), &pem, &err) < 0)
                return relay_cli_complain("ca sign", err.text);
        if (sign)
                fputs(pem.data, stdout);
        return 0;
}

/* ---- a relay's ---- */

static int show_cert(const struct relay_cli *cli, json_t *out, const X509 *cert, bool issues)
{
        char fingerprint[CA_FINGERPRINT_LEN + 1], serial[CA_SERIAL_MAX], until[32], cn[128] = "";
        X509 *c = X509_dup(cert);
        int64_t begin = 0, end = 0;
        int r = c ? ca_fingerprint(c, fingerprint) : -ENOMEM;

        if (r == 0)
                r = ca_cert_facts(c, serial, &begin, &end);
        if (r == 0)
                (void)X509_NAME_get_text_by_NID(X509_get_subject_name(c), NID_commonName, cn, sizeof(cn));
        X509_free(c);
        if (r < 0)
                return r;
        if (cli->json)
                return json_array_append_new(out, json_pack("{s:s, s:s, s:I, s:b}", "fingerprint", fingerprint, "cn",
                                                            cn, "not_after", (json_int_t)end, "issues", issues));
        relay_cli_when(end, until);
        printf("%-8s %.16s  until %s  %s\n", issues ? "issues" : "trusted", fingerprint, until, cn);
        return 0;
}

static int list(const struct relay_cli *cli)
{
        _cleanup_(ca_freep) struct ca *ca = NULL;
        json_t *out = json_array();
        struct error err;
        int r = ca_open(&ca, cli->config->state_dir, cli->config->node, time(NULL), &err);

        if (r < 0) {
                json_decref(out);
                return relay_cli_complain("ca list", err.text);
        }
        r = show_cert(cli, out, ca_cert(ca), true);
        for (int i = 0; r == 0 && i < sk_X509_num(ca_roots(ca)); i++)
                r = show_cert(cli, out, sk_X509_value(ca_roots(ca), i), false);
        if (r == 0 && cli->json)
                return relay_cli_print_json(out);
        json_decref(out);
        return r < 0 ? relay_cli_complain("ca list", "out of memory") : 0;
}

static int request(const struct relay_cli *cli)
{
        struct buffer pem = BUFFER(65536);
        struct error err;
        int r = ca_request(cli->config->state_dir, cli->config->node, &pem, &err);

        if (r == 0)
                fputs(pem.data, stdout);
        buffer_free(&pem);
        return r < 0 ? relay_cli_complain("ca request", err.text) : 0;
}

int run_ca(const struct relay_cli *cli, struct store *store, int argc, char **argv)
{
        const char *dir = cli->config->state_dir, *word = argc > 0 ? argv[0] : "";
        struct error err;
        int r;

        (void)store;
        if (argc == 1 && strcmp(word, "list") == 0)
                return list(cli);
        if (argc == 1 && strcmp(word, "request") == 0)
                return request(cli);
        if (argc == 2 && strcmp(word, "install") == 0)
                r = ca_install(dir, argv[1], time(NULL), &err);
        else if (argc == 2 && strcmp(word, "trust") == 0)
                r = ca_trust(dir, argv[1], &err);
        else if (argc == 2 && strcmp(word, "forget") == 0)
                r = ca_forget(dir, argv[1], &err);
        else
                return relay_cli_misused("ca", "usage: ca list | ca request | ca install FILE | ca trust FILE | "
                                               "ca forget FINGERPRINT | ca root FOLDER | ca sign FOLDER REQUEST");
        if (r < 0)
                return relay_cli_complain(word, err.text);
        puts(reload);
        return 0;
}
