/*
 * What a keytab holds, in words: for whoever has to find out why it is not the right one. Names, key numbers and kinds
 * of keys are no secrets; the keys themselves are not looked at.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "validate/krb/krb.h"

#define GROUPS_MAX 6 /* principals with one key number that are told apart */

/* The entries of one principal and key number. */
struct group {
        char name[160];
        krb5_kvno kvno;
        char kinds[120];
};

struct listing {
        size_t n, more; /* more: entries that found no place */
        struct group groups[GROUPS_MAX];
};

static void add_entry(struct listing *l, const char *name, const krb5_keytab_entry *entry)
{
        char kind[48];
        size_t i = 0;

        while (i < l->n && i < GROUPS_MAX && (strcmp(l->groups[i].name, name) != 0 || l->groups[i].kvno != entry->vno))
                i++;
        if (i == GROUPS_MAX) {
                l->more++;
                return;
        }
        if (i == l->n) {
                snprintf(l->groups[i].name, sizeof l->groups[i].name, "%s", name);
                l->groups[i].kvno = entry->vno;
                l->groups[i].kinds[0] = '\0';
                l->n++;
        }
        char *kinds = l->groups[i].kinds;
        const size_t at = strlen(kinds);
        if (krb5_enctype_to_name(entry->key.enctype, 0, kind, sizeof kind))
                snprintf(kind, sizeof kind, "type %d", (int)entry->key.enctype);
        if (!strstr(kinds, kind))
                snprintf(kinds + at, sizeof l->groups[i].kinds - at, "%s%s", at ? ", " : "", kind);
}

static krb5_error_code list(krb5_context context, const char *source, struct listing *l)
{
        krb5_keytab keytab = NULL;
        krb5_kt_cursor cursor;
        krb5_keytab_entry entry;
        krb5_error_code code = krb5_kt_resolve(context, source, &keytab);

        if (code)
                return code;
        code = krb5_kt_start_seq_get(context, keytab, &cursor);
        if (!code) {
                while (krb5_kt_next_entry(context, keytab, &entry, &cursor) == 0) {
                        char *name = NULL;

                        if (krb5_unparse_name(context, entry.principal, &name) == 0)
                                add_entry(l, name, &entry);
                        krb5_free_unparsed_name(context, name);
                        krb5_free_keytab_entry_contents(context, &entry);
                }
                krb5_kt_end_seq_get(context, keytab, &cursor);
        }
        krb5_kt_close(context, keytab);
        return code;
}

void krb_keytab_text(krb5_context context, const char *source, const char *wanted, char *out, size_t cap)
{
        struct listing l = {0};
        size_t at = 0;

        out[0] = '\0';
        if (list(context, source, &l))
                return;
        if (l.n == 0)
                at = (size_t)snprintf(out, cap, "it holds no key at all");
        for (size_t i = 0; i < l.n && at < cap; i++) {
                const struct group *g = &l.groups[i];
                const bool other_case = wanted && strcasecmp(g->name, wanted) == 0 && strcmp(g->name, wanted) != 0;

                at += (size_t)snprintf(out + at, cap - at, "%s%s number %u (%s)%s", i ? "; " : "it holds ", g->name,
                                       (unsigned)g->kvno, g->kinds,
                                       other_case ? ", which differs in its capitals only" : "");
        }
        if (l.more && at < cap)
                snprintf(out + at, cap - at, "; and more");
}
