/*
 * The sample file and the keys of the man page, written from the table.
 *
 * What is committed is compared with this by tests, so neither can drift from what the reader takes.
 */
#include "base/conf/internal.h"

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

/* Text for man(7): a backslash, a leading dot or quote and a hyphen that is one need an escape. */
static void write_roff(FILE *out, const char *text)
{
        static const char *const escapes[128] = {
                ['\\'] = "\\e", ['-'] = "\\-", ['`'] = "\\(aq", ['\''] = "\\(aq", ['"'] = "\\(dq", ['\n'] = " "};

        for (const char *p = text; *p; p++) {
                const char *escape = *p & 0x80 ? NULL : escapes[(unsigned char)*p];

                if (escape)
                        (void)fputs(escape, out);
                else
                        (void)fputc(*p, out);
        }
        (void)fputc('\n', out);
}

/* What is allowed and what holds without the key, as one sentence fragment. */
static void write_range(FILE *out, const struct conf_key *key, void (*write)(FILE *, const char *))
{
        struct buffer text = BUFFER(1024);

        conf_value_range(key, &text);
        if (key->required)
                (void)buffer_append_str(&text, "; required");
        else if (key->initial || key->otherwise)
                (void)buffer_printf(&text, "; default: %s", key->initial ? key->initial : key->otherwise);
        write(out, text.len ? text.data : "");
        buffer_free(&text);
}

void conf_write_sample(FILE *out, const struct conf_schema *schema, const char *const *intro)
{
        for (; *intro; intro++)
                write_comment(out, *intro);
        for (size_t i = 0; i < schema->n_sections; i++) {
                const struct conf_section *section = &schema->sections[i];
                const char *title = section->title ? section->title : section->name;
                const bool out_of_use = title[0] == '#';

                (void)fputc('\n', out);
                if (section->comment)
                        write_comment(out, section->comment);
                (void)fprintf(out, "%s[%s]\n", out_of_use ? "#" : "", title + out_of_use);
                for (const struct conf_key *key = section->keys; key < section->keys + section->n_keys; key++) {
                        (void)fputc('\n', out);
                        write_comment(out, key->help);
                        write_range(out, key, write_comment);
                        if (!key->example)
                                (void)fprintf(out, "#%s =%s%s\n", key->name, key->initial ? " " : "",
                                              key->initial ? key->initial : "");
                        for (const char *line = key->example; line && *line;) {
                                int n = (int)strcspn(line, "\n");

                                (void)fprintf(out, "%s = %.*s\n", key->name, n, line);
                                line += n + (line[n] == '\n');
                        }
                }
        }
}

void conf_write_man(FILE *out, const struct conf_schema *schema)
{
        for (size_t i = 0; i < schema->n_sections; i++) {
                const struct conf_section *section = &schema->sections[i];

                (void)fprintf(out, ".SS [%s%s%s]\n", section->name, section->which ? " " : "",
                              section->which ? section->which : "");
                for (size_t k = 0; k < section->n_keys; k++) {
                        (void)fputs(".TP\n.B ", out);
                        write_roff(out, section->keys[k].name);
                        write_roff(out, section->keys[k].help);
                        (void)fputs(".br\n", out);
                        write_range(out, &section->keys[k], write_roff);
                }
        }
}
