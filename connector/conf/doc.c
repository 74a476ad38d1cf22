/*
 * The sample file and the keys of postern.conf(5), written from the table.
 *
 * What is committed is compared with this by a test, so neither can drift from what the parser takes.
 */
#include "connector/conf/internal.h"

#include <string.h>

#define WIDTH 96

/* Writes text as comment lines of at most WIDTH bytes. */
static void write_comment(FILE *out, const char *text)
{
        while (*text) {
                size_t n = strlen(text);
                if (n > WIDTH)
                        for (n = WIDTH; n > 1 && text[n] != ' ';)
                                n--;
                (void)fprintf(out, "# %.*s\n", (int)n, text);
                text += n;
                text += strspn(text, " ");
        }
}

/* What is allowed and what holds without the key, as one sentence fragment. */
static void describe(const struct config_key *key, char *out, size_t cap)
{
        size_t n = 0;

        if (key->type == TYPE_NUMBER)
                n = (size_t)snprintf(out, cap, "%u to %u", key->min, key->max);
        else if (key->type != TYPE_WORD)
                n = (size_t)snprintf(out, cap, "%s", key->range);
        for (const struct config_word *w = key->words; w && w->word && n < cap; w++)
                n += (size_t)snprintf(out + n, cap - n, "%s%s", w == key->words ? "" : ", ", w->word);
        if (n < cap && (key->initial || key->otherwise))
                (void)snprintf(out + n, cap - n, "; default: %s", key->initial ? key->initial : key->otherwise);
}

static void write_sample_section(FILE *out, enum config_section section)
{
        char text[512];

        for (size_t i = 0; i < config_keys_n; i++) {
                const struct config_key *key = &config_keys[i];
                if (key->section != section)
                        continue;
                (void)fputc('\n', out);
                write_comment(out, key->help);
                describe(key, text, sizeof(text));
                write_comment(out, text);
                if (key->example)
                        (void)fprintf(out, "%s = %s\n", key->name, key->example);
                else
                        (void)fprintf(out, "#%s =%s%s\n", key->name, key->initial ? " " : "",
                                      key->initial ? key->initial : "");
        }
}

void config_write_sample(FILE *out)
{
        write_comment(out, "Sample configuration of posternd(8). Copy it to /etc/postern/postern.conf and "
                           "change what is "
                           "yours; postern.conf(5) explains more. Check it with: postern check-config");
        write_comment(out,
                      "Lines that begin with # are comments. The keys that are commented out show their defaults.");
        (void)fputs("\n[connector]\n", out);
        write_sample_section(out, SECTION_CONNECTOR);
        (void)fputs("\n# One such section for each domain; NAME is its DNS name.\n[domain corp.example]\n", out);
        write_sample_section(out, SECTION_DOMAIN);
}

/* Text for man(7): a backslash, a leading dot or quote and a hyphen that is one need an escape. */
static void write_roff(FILE *out, const char *text)
{
        for (const char *p = text; *p; p++) {
                if (*p == '\\')
                        (void)fputs("\\e", out);
                else if (*p == '-')
                        (void)fputs("\\-", out);
                else if (*p == '`' || *p == '\'')
                        (void)fputs("\\(aq", out);
                else if (*p == '"')
                        (void)fputs("\\(dq", out);
                else if (*p == '\n')
                        (void)fputc(' ', out);
                else
                        (void)fputc(*p, out);
        }
        (void)fputc('\n', out);
}

static void write_man_section(FILE *out, enum config_section section, const char *title)
{
        char text[512];

        (void)fprintf(out, ".SS %s\n", title);
        for (size_t i = 0; i < config_keys_n; i++) {
                const struct config_key *key = &config_keys[i];
                if (key->section != section)
                        continue;
                (void)fprintf(out, ".TP\n.B ");
                write_roff(out, key->name);
                write_roff(out, key->help);
                (void)fputs(".br\n", out);
                describe(key, text, sizeof(text));
                write_roff(out, text);
        }
}

void config_write_man(FILE *out)
{
        write_man_section(out, SECTION_CONNECTOR, "[connector]");
        write_man_section(out, SECTION_DOMAIN, "[domain NAME]");
}
