/*
 * Writes postern-verdicts(7), or compares it: states_doc [--check] FILE.
 *
 * The states are those that test_states.c measures cell by cell, the sentences those of the one table of
 * outcomes, so the manual can say nothing else than the program does.
 */
#include <stdio.h>
#include <string.h>

#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/error.h"
#include "base/core/text.h"
#include "tests/validate/op/states.h"
#include "connector/findings/facts.h"
#include "connector/findings/glossary.h"

#define PAGE_MAX (256 * 1024)

static const char head[] = ".\\\" Made by tests/validate/states_doc.c: change the tables that it reads.\n"
                           ".TH POSTERN\\-VERDICTS 7 \"\" Postern \"System administration\"\n"
                           ".SH NAME\n"
                           "postern\\-verdicts \\- what a sign\\-in can end with, and what to do about it\n"
                           ".SH DESCRIPTION\n"
                           "Every sign\\-in ends with a verdict, a class and a reason.\n"
                           "Class\n.B credentials\nmeans that name or password is wrong,\n"
                           ".B policy\nthat a rule forbids the sign\\-in, and\n"
                           ".B infrastructure\nthat nobody could decide: that never means a wrong password.\n"
                           "A user is told the state of an account only where the password was proved right;\n"
                           "the helpdesk always sees it\n.RB ( \"postern explain\" ).\n";

static const char disagreements[] =
        ".SH WHERE LDAP AND KERBEROS DIFFER\n"
        "A sign\\-in is checked by one method only, so the same account may fare differently with "
        "another setting of\n.BR methods .\n"
        ".TP\n.B Log On To (531)\nAn LDAP bind counts as a logon at the domain controller, which the list "
        "must then name; the Kerberos exchange does not look at it.\n"
        ".TP\n.B Protected Users (52f)\nThey cannot bind by LDAP at all. Samba says so to a wrong password, "
        "too, so it proves nothing.\n"
        ".TP\n.B Network logon right (569)\nAn LDAP bind needs it on the domain controller, Kerberos does "
        "not.\n"
        ".TP\n.B Selective authentication (78f)\nThe firewall of a trust stops LDAP binds; in Kerberos it "
        "acts on tickets for services, not on the first exchange.\n"
        ".TP\n.B The previous password\nLDAP accepts it for up to an hour after a change, Kerberos does "
        "not.\n"
        ".TP\n.B Smart card required\nOver LDAP every password reads as wrong; Kerberos shows an "
        "account without a usable key.\n"
        ".TP\n.B Disabled\nOver LDAP only the right password shows it. Over Kerberos it depends on the form of the "
        "name "
        "and on the domain controller: Samba 4.22 tells it (and a lockout) whatever the password is, without checking "
        "it, so it proves nothing.\n"
        ".TP\n.B Proof\nWithout armour the connector confirms what Kerberos refuses by one bind over LDAPS, as in this "
        "table. With armour it does so only for what a domain controller tells before it has looked at the password: "
        "Samba 4.22 does that of expired passwords, of those that must be changed and of logon hours. Where the "
        "connector cannot ask by LDAPS, the user is not told the state of the account.\n"
        ".TP\n.B Unknown user\nOver LDAP an unknown name reads as a wrong password; Kerberos tells that it is "
        "unknown.\n";

/* Text in a form that roff takes as it is. */
static void put_text(struct buffer *b, const char *text)
{
        for (; *text; text++) {
                if (*text == '\\')
                        buffer_printf(b, "\\e");
                else if (*text == '-')
                        buffer_printf(b, "\\-");
                else
                        buffer_printf(b, "%c", *text);
        }
}

static void put_answer(struct buffer *b, const char *when, const struct state_answer *answer)
{
        buffer_printf(b, "%s:\n.B ", when);
        put_text(b, reason_info(answer->reason)->id);
        buffer_printf(b, "\n(%s%s%s)\n", verdict_class_text(reason_info(answer->reason)->class),
                      answer->proved && answer->reason != REASON_OK ? ", told to the user" : "",
                      answer->counts ? ", counted once by the domain controller" : "");
}

static void put_states(struct buffer *b)
{
        buffer_printf(b, ".SH STATES OF AN ACCOUNT\n"
                         "As measured on Samba for the user principal name, an alternate suffix and "
                         "DOMAIN\\ename alike.\n");
        for (size_t i = 0; i < STATE_ROWS; i++) {
                const struct state_row *row = &state_rows[i];

                buffer_printf(b, ".TP\n.B ");
                put_text(b, row->title);
                buffer_printf(b, "\n");
                put_answer(b, "LDAP, right password", &row->ldap_right);
                buffer_printf(b, ".br\n");
                put_answer(b, "LDAP, wrong password", &row->ldap_wrong);
                buffer_printf(b, ".br\n");
                put_answer(b, "Kerberos, right password", &row->krb_right);
                buffer_printf(b, ".br\n");
                put_answer(b, "Kerberos, wrong password", &row->krb_wrong);
        }
}

static void put_reasons(struct buffer *b)
{
        buffer_printf(b, ".SH REASONS\n");
        for (unsigned i = 0; i < REASON_MAX; i++) {
                const struct reason_info *info = reason_info((enum reason)i);

                buffer_printf(b, ".TP\n.B ");
                put_text(b, info->id);
                buffer_printf(b, "\n%s, class %s.\n", verdict_text(info->verdict), verdict_class_text(info->class));
                put_text(b, info->helpdesk_text);
                buffer_printf(b, "\n.br\nRemedy: ");
                put_text(b, info->remedy);
                buffer_printf(b, "\n.br\nThe user reads: ");
                put_text(b, reason_user_text((enum reason)i, true));
                buffer_printf(b, "\n");
        }
}

/* What is no sign-in's own end: of the relay, of a connector that gave one back, of postern status. */
static void put_kind(struct buffer *b, const char *kind, const char *title, const char *about)
{
        json_t *all = glossary_all(), *e;
        size_t i;

        buffer_printf(b, ".SH %s\n%s\n", title, about);
        json_array_foreach (all, i, e) {
                if (strcmp(fact_text(e, "kind"), kind) != 0)
                        continue;
                buffer_printf(b, ".TP\n.B ");
                put_text(b, fact_text(e, "id"));
                if (fact_text(e, "level")[0])
                        buffer_printf(b, "\n(%s)", fact_text(e, "level"));
                buffer_printf(b, "\n");
                put_text(b, fact_text(e, "meaning"));
                if (fact_text(e, "remedy")[0]) {
                        buffer_printf(b, "\n.br\nRemedy: ");
                        put_text(b, fact_text(e, "remedy"));
                }
                if (fact_text(e, "user")[0]) {
                        buffer_printf(b, "\n.br\nThe user reads: ");
                        put_text(b, fact_text(e, "user"));
                }
                buffer_printf(b, "\n");
        }
        json_decref(all);
}

static void put_words(struct buffer *b)
{
        put_kind(b, "problem", "PROBLEMS",
                 "What the relay answers where there is no verdict; the type of a problem is urn:postern: and its "
                 "word.");
        put_kind(b, "decline", "DECLINES",
                 "Why a connector gave a sign\\-in back before it asked a domain controller: the relay may have asked "
                 "another one.");
        put_kind(b, "finding", "FINDINGS",
                 "What\n.B postern status\nfinds wrong. The level says what it stops: all sign\\-ins at the connector "
                 "(stops), some (limits) or none yet (warns).");
        put_kind(b, "detail", "DETAILS",
                 "Which of several causes lies behind a reason, or behind a way to the relay that fails: the code "
                 "that\n.B "
                 "postern status\nand\n.B postern check\nshow beside it.");
        buffer_printf(
                b, ".SH WHAT USERS READ\n"
                   "The sentences are a file, so that a sign\\-in service can show them in the user\\(aqs language "
                   "and with the helpdesk\\(aqs own name and telephone number:\n"
                   ".I en.words\nand\n.I de.words\nare in\n.IR /usr/local/share/postern/words .\n"
                   "A line is KEY = SENTENCE; the key is the reason that has the sentence first in this page.\n"
                   "{helpdesk}, {id} and {until} stand for whom to contact, the reference of the sign\\-in and a time "
                   "of day, and [A|B] reads A where all that is in it is known, else B.\n"
                   ".B postern words \\-\\-catalogue\nprints the English ones to translate,\n"
                   ".B postern words \\-\\-check\nlooks at a file and shows it filled in,\n"
                   ".B postern sign\\-in \\-\\-words\nuses one.\n"
                   "Which sentence a user gets is not the catalogue\\(aqs to say: none tells the state of an account "
                   "unless the password was proved.\n"
                   ".PP\nEvery word of this page is also in\n.I words.html\nbeside the other documents, where\n"
                   ".IR #KIND\\-WORD ,\nlike #reason\\-locked_out, stays the same over versions, and in\n"
                   ".BR \"postern words WORD\" .\n");
}

static void make(struct buffer *b)
{
        buffer_printf(b, "%s", head);
        put_states(b);
        buffer_printf(b, "%s", disagreements);
        put_reasons(b);
        put_words(b);
        buffer_printf(b, ".SH SEE ALSO\n.BR postern (1),\n.BR postern.conf (5),\n.BR posternd (8)\n");
}

int main(int argc, char **argv)
{
        _cleanup_(buffer_free) struct buffer page = BUFFER(PAGE_MAX), stored = BUFFER(PAGE_MAX);
        const char *path = argv[argc - 1];
        struct error err = {""};

        if (argc < 2)
                return 2;
        make(&page);
        if (argc == 2)
                return file_write_atomic(path, page.data, page.len, 0644, &err) < 0;
        if (file_read(&stored, path, &err) == 0 && stored.len == page.len &&
            memcmp(stored.data, page.data, page.len) == 0)
                return 0;
        fprintf(stderr, "%s is not what the tables say%s%s: write it anew with %s FILE\n", path,
                err.text[0] ? ": " : "", err.text, argv[0]);
        return 1;
}
