/*
 * Reading a configuration: files, sections, keys, and every mistake of one run.
 *
 * Owns the notes where each key was set. A line is judged as text first; libinih takes each line that holds a key by
 * itself, so that one malformed line hides no other. Relations between keys are judged after all files, and only where
 * the keys were themselves sound: one mistake makes one line. Nothing here changes a file.
 */
#include "base/conf/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/text.h"

#define FILES_MAX 64
#define LINE_MAX_BYTES 4000
#define NAME_MAX_BYTES 300

struct place {
        const char *file;       /* NULL: nowhere */
        unsigned file_no, line; /* line 0: the file as a whole */
        bool refused;           /* of a key: its value was, and that was said */
};

/* One section as it was found: where it begins, and where each of its keys stands (by the row of the table). */
struct notes {
        struct notes *next;
        const struct conf_section *section;
        void *base;
        struct place opened, set[];
};

struct fault {
        struct place place;
        size_t order;
        char text[ERROR_TEXT_MAX + 64];
};

struct conf_reader {
        const struct conf_schema *schema;
        struct conf *conf;
        struct notes *notes, *current; /* current: where keys go now; NULL: the section was refused */
        struct place place;
        bool in_section, no_memory, unread; /* unread: a file; what it would say is not missing */
        struct conf *paths;                 /* texts that places point to */
        size_t n_files, n_faults;
        struct fault faults[CONF_ERRORS_MAX];
};

void conf_errors_clear(struct conf_errors *e)
{
        buffer_free(&e->lines);
        e->n = 0;
}

/* ---- faults ---- */

static void __attribute__((format(printf, 4, 0)))
note_fault(struct conf_reader *r, const struct place *place, const char *key, const char *fmt, va_list ap)
{
        struct fault *f = r->n_faults < CONF_ERRORS_MAX ? &r->faults[r->n_faults] : NULL;
        int n;

        r->n_faults++;
        if (!f)
                return;
        f->place = *place;
        f->order = r->n_faults;
        n = snprintf(f->text, sizeof(f->text), "%s%s", key ? key : "", key ? ": " : "");
        if (n >= 0 && (size_t)n < sizeof(f->text))
                (void)vsnprintf(f->text + n, sizeof(f->text) - (size_t)n, fmt, ap);
}

static void __attribute__((format(printf, 4, 5)))
fault_at(struct conf_reader *r, const struct place *place, const char *key, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        note_fault(r, place, key, fmt, ap);
        va_end(ap);
}

static const struct notes *notes_of(const struct conf_reader *r, const void *base)
{
        const struct notes *n = r->notes;

        while (n && n->base != base)
                n = n->next;
        return n;
}

static const struct conf_key *key_of(const struct conf_section *section, const char *name)
{
        for (size_t i = 0; i < section->n_keys; i++)
                if (strcmp(section->keys[i].name, name) == 0)
                        return &section->keys[i];
        return NULL;
}

/* Where the key stands, else where its section begins. */
static const struct place *place_of(const struct notes *notes, const char *name)
{
        const struct conf_key *key = name ? key_of(notes->section, name) : NULL;
        const struct place *set = key ? &notes->set[key - notes->section->keys] : NULL;

        return set && set->file ? set : &notes->opened;
}

void conf_fault(struct conf_reader *r, const void *base, const char *key, const char *fmt, ...)
{
        const struct notes *notes = notes_of(r, base);
        va_list ap;

        va_start(ap, fmt);
        note_fault(r, notes ? place_of(notes, key) : &r->place, key, fmt, ap);
        va_end(ap);
}

bool conf_lacks(const struct conf_reader *r, const void *base, const char *key)
{
        const struct notes *notes = notes_of(r, base);

        return notes && conf_value_empty(key_of(notes->section, key), base) && !place_of(notes, key)->refused;
}

/* ---- sections ---- */

/* Notes for a section that begins at the place, or goes on there. NULL: out of memory. */
static struct notes *open_notes(struct conf_reader *r, const struct conf_section *section, void *base)
{
        struct notes *n = calloc(1, sizeof(*n) + section->n_keys * sizeof(n->set[0]));

        if (!n) {
                r->no_memory = true;
                return NULL;
        }
        n->section = section;
        n->base = base;
        n->opened = r->place;
        n->next = r->notes;
        r->notes = n;
        return n;
}

/* [NAME WHICH]: the struct of the array that has this name, a new one where none has it. */
static struct notes *open_one(struct conf_reader *r, const struct conf_section *section, const char *which)
{
        char *at = (char *)r->conf + section->offset, label[64];
        size_t *n = (size_t *)(void *)((char *)r->conf + section->offset_n);
        struct error why;

        (void)snprintf(label, sizeof(label), "[%s]", section->name);
        if (section->check(which, &why) < 0) {
                fault_at(r, &r->place, label, "%s", why.text);
                return NULL;
        }
        for (size_t i = 0; i < *n; i++, at += section->size)
                if (strcmp(*(const char **)(void *)at, which) == 0)
                        return (struct notes *)(uintptr_t)notes_of(r, at);
        if (*n == section->max) {
                fault_at(r, &r->place, label, "there are more than %zu, allowed: 1 to %zu", section->max, section->max);
                return NULL;
        }
        const char *copy = conf_text(r->conf, which);
        memcpy(at, &copy, sizeof(copy));
        r->no_memory = r->no_memory || !copy;
        *n += copy != NULL;
        return copy ? open_notes(r, section, at) : NULL;
}

static struct notes *open_section(struct conf_reader *r, char *name)
{
        struct buffer allowed = BUFFER(256);

        for (size_t i = 0; i < r->schema->n_sections; i++) {
                const struct conf_section *s = &r->schema->sections[i];
                const size_t n = strlen(s->name);

                if (strncmp(name, s->name, n) == 0 && !s->which && !name[n])
                        return (struct notes *)(uintptr_t)notes_of(r, (char *)r->conf + s->offset);
                if (strncmp(name, s->name, n) == 0 && s->which && strchr(" \t", name[n])) { /* or nothing behind it */
                        name += n + strspn(name + n, " \t");
                        for (char *c = name; *c; c++)
                                *c = (char)tolower((unsigned char)*c);
                        return open_one(r, s, name);
                }
        }
        for (size_t i = 0; i < r->schema->n_sections; i++)
                (void)buffer_printf(&allowed, "%s[%s%s%s]", i ? ", " : "", r->schema->sections[i].name,
                                    r->schema->sections[i].which ? " " : "",
                                    r->schema->sections[i].which ? r->schema->sections[i].which : "");
        fault_at(r, &r->place, NULL, "[%s]: the section is unknown, allowed: %s", name,
                 allowed.len ? allowed.data : "");
        buffer_free(&allowed);
        return NULL;
}

/* ---- keys ---- */

static void unknown_key(struct conf_reader *r, const char *name)
{
        const struct conf_section *here = r->current->section;
        struct text_guess guess = TEXT_GUESS(name);

        for (size_t i = 0; i < r->schema->n_sections; i++) {
                const struct conf_section *s = &r->schema->sections[i];

                if (s != here && key_of(s, name)) {
                        fault_at(r, &r->place, name, "the key belongs in %s%s%s%s]%s", s->which ? "a [" : "[", s->name,
                                 s->which ? " " : "", s->which ? s->which : "", s->which ? " section" : "");
                        return;
                }
        }
        for (size_t i = 0; i < here->n_keys; i++)
                text_guess_consider(&guess, here->keys[i].name);
        if (guess.best)
                fault_at(r, &r->place, name, "the key is unknown; did you mean %s?", guess.best);
        else
                fault_at(r, &r->place, name, "the key is unknown; %s lists all keys", r->schema->page);
}

/* One "name = value", from inih, which wants non-zero for "go on". */
static int take_key(void *arg, const char *in, const char *name, const char *value)
{
        struct conf_reader *r = arg;
        struct error why = {"out of memory"};
        const struct conf_key *key;
        struct place *set;
        int code;

        (void)in;
        if (!r->in_section)
                fault_at(r, &r->place, name, "the key stands before the first section");
        if (!r->current) /* the section was refused, and that was said */
                return 1;
        key = key_of(r->current->section, name);
        if (!key) {
                unknown_key(r, name);
                return 1;
        }
        set = &r->current->set[key - r->current->section->keys];
        if (set->file && !key->repeats) {
                fault_at(r, &r->place, name, "it is given twice, first at %s:%u", set->file, set->line);
                return 1;
        }
        *set = r->place;
        /* a '#' or ';' behind the value is far more often meant as a comment than as a part of it */
        if (strstr(value, " #") || strstr(value, "\t#") || strstr(value, " ;") || strstr(value, "\t;"))
                code = error_fail(&why, -EINVAL, "a comment needs a line of its own");
        else
                code = conf_value_set(r->conf, key, r->current->base, value, &why);
        set->refused = code < 0;
        r->no_memory = r->no_memory || code == -ENOMEM;
        if (code < 0)
                fault_at(r, &r->place, name, "%s", why.text);
        return 1;
}

/* ---- lines and files ---- */

/* One line, without its end and without blanks at its beginning. */
static void take_line(struct conf_reader *r, const char *line, size_t n)
{
        char name[NAME_MAX_BYTES], copy[LINE_MAX_BYTES + 1];
        const bool comment = n > 0 && (line[0] == '#' || line[0] == ';');
        const char *why = comment ? admin_comment_fault(line, n) : admin_line_fault(line, n);
        int section = 0;

        if (n > LINE_MAX_BYTES)
                why = "the line is longer than 4000 bytes";
        if (!why && !comment)
                section = admin_section(name, sizeof(name), line, n, &why);
        if (n > 0 && line[0] == '[') { /* where it is refused, its keys are not those of the section before */
                r->in_section = true;
                r->current = section == 1 ? open_section(r, name) : NULL;
        }
        if (section == 0 && !why && n > 0 && n < sizeof(copy) && !comment) {
                memcpy(copy, line, n);
                copy[n] = '\0';
                int code = ini_parse_string(copy, take_key, r);
                r->no_memory = r->no_memory || code < 0;
                why = code > 0 ? "neither [section] nor key = value nor a comment" : NULL;
        }
        if (section <= 0 && why)
                fault_at(r, &r->place, NULL, "%s", why);
}

static int take_text(struct conf_reader *r, const char *file, const struct buffer *text)
{
        const char *line = text->len ? text->data : "", *end = line + text->len;

        ini_max_line = LINE_MAX_BYTES + 8;
        ini_initial_alloc = ini_max_line;
        ini_use_stack = false;
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        r->place = (struct place){.file = file, .file_no = (unsigned)r->n_files++};
        r->in_section = false;
        r->current = NULL;
        while (line < end && !r->no_memory) {
                const char *newline = memchr(line, '\n', (size_t)(end - line)), *stop = newline ? newline : end;

                while (line < stop && isspace((unsigned char)*line))
                        line++;
                r->place.line++;
                take_line(r, line, (size_t)(stop - line));
                line = newline ? newline + 1 : end;
        }
        return r->no_memory ? -ENOMEM : 0;
}

static void __attribute__((format(printf, 3, 4)))
file_fault(struct conf_reader *r, const char *path, const char *fmt, ...)
{
        const struct place place = {.file = path, .file_no = (unsigned)r->n_files++};
        va_list ap;

        r->unread = true;
        va_start(ap, fmt);
        note_fault(r, &place, NULL, fmt, ap);
        va_end(ap);
}

static int load_file(struct conf_reader *r, const char *path, struct buffer *merged)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(CONF_TEXT_MAX);
        const char *kept = conf_text(r->paths, path);
        struct error why;

        if (!kept)
                return -ENOMEM;
        int code = admin_text_read(&text, path, &why);
        if (code < 0) {
                file_fault(r, kept, "%s", why.text);
                return code == -ENOMEM ? code : 0;
        }
        code = take_text(r, kept, &text);
        if (code == 0 && merged &&
            (buffer_append(merged, text.data, text.len) < 0 || buffer_append_char(merged, '\n') < 0))
                file_fault(r, kept, "all files together are too long, allowed: 256 KiB");
        return code;
}

static int is_conf(const struct dirent *entry)
{
        size_t n = strlen(entry->d_name);

        return n > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

static int load_folder(struct conf_reader *r, const char *path, struct buffer *merged)
{
        struct dirent **entries = NULL;
        int n = scandir(path, &entries, is_conf, alphasort), code = 0;
        char file[PATH_MAX];

        if (n < 0)
                file_fault(r, path, "%s", strerror(errno));
        else if (n == 0)
                file_fault(r, path, "the folder holds no *.conf file; write one, like the sample %s",
                           r->schema->sample);
        for (int i = 0; i < n; i++) {
                int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);

                if (code == 0 && len >= (int)sizeof(file))
                        file_fault(r, path, "the path of %s is too long", entries[i]->d_name);
                else if (code == 0 && i == FILES_MAX)
                        file_fault(r, path, "there are more than 64 files, allowed: 64");
                else if (code == 0 && i < FILES_MAX)
                        code = load_file(r, file, merged);
                free(entries[i]);
        }
        free(entries);
        return code;
}

/* ---- the end of a run ---- */

static int set_defaults(struct conf_reader *r, const struct notes *notes)
{
        for (size_t i = 0; i < notes->section->n_keys; i++) {
                const struct conf_key *key = &notes->section->keys[i];
                _cleanup_(buffer_free) struct buffer range = BUFFER(ERROR_TEXT_MAX);

                if (notes->set[i].file)
                        continue;
                if (key->initial && conf_value_set(r->conf, key, notes->base, key->initial, NULL) < 0)
                        return -ENOMEM;
                conf_value_range(key, &range);
                if (key->required && !r->unread)
                        fault_at(r, &notes->opened, key->name, "it is missing, allowed: %s",
                                 range.len ? range.data : "any text");
        }
        return 0;
}

static void check_needs(struct conf_reader *r, const struct notes *notes)
{
        for (size_t i = 0; i < notes->section->n_keys; i++) {
                const struct conf_key *key = &notes->section->keys[i];

                for (const struct conf_need *need = key->needs; need < key->needs + 2 && need->key; need++)
                        if (!conf_value_empty(key, notes->base) && conf_lacks(r, notes->base, need->key))
                                conf_fault(r, notes->base, key->name, "it needs %s%s%s", need->key,
                                           need->why ? ": " : "", need->why ? need->why : "");
        }
}

static int by_place(const void *a, const void *b)
{
        const struct fault *x = a, *y = b;

        if (x->place.file_no != y->place.file_no)
                return x->place.file_no < y->place.file_no ? -1 : 1;
        if (x->place.line != y->place.line)
                return x->place.line < y->place.line ? -1 : 1;
        return x->order < y->order ? -1 : 1;
}

static void report(struct conf_reader *r, struct conf_errors *errors)
{
        size_t n = r->n_faults < CONF_ERRORS_MAX ? r->n_faults : CONF_ERRORS_MAX;

        qsort(r->faults, n, sizeof(r->faults[0]), by_place);
        for (size_t i = 0; i < n; i++) {
                const struct fault *f = &r->faults[i];
                const size_t len = strlen(f->place.file);
                /* the text of a file that can't be read names it already */
                const bool named = strncmp(f->text, f->place.file, len) == 0 && f->text[len] == ':';

                if (f->place.line)
                        (void)buffer_printf(&errors->lines, "%s:%u: %s\n", f->place.file, f->place.line, f->text);
                else
                        (void)buffer_printf(&errors->lines, "%s%s%s\n", named ? "" : f->place.file, named ? "" : ": ",
                                            f->text);
        }
        if (r->n_faults > n)
                (void)buffer_printf(&errors->lines, "and %zu more\n", r->n_faults - n);
        errors->n += r->n_faults;
}

static struct conf_reader *reader_free(struct conf_reader *r)
{
        for (struct notes *n = r->notes, *next; n; n = next) {
                next = n->next;
                free(n);
        }
        conf_free(r->conf);
        conf_free(r->paths);
        free(r);
        return NULL;
}
DEFINE_FREEP(struct conf_reader, reader_free)

/* path: the place of what has no line, also of a section that nobody wrote. */
static int reader_new(struct conf_reader **ret_r, const struct conf_schema *schema, const char *path)
{
        _cleanup_(reader_freep) struct conf_reader *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->schema = schema;
        r->conf = calloc(1, schema->size);
        r->paths = calloc(1, sizeof(*r->paths));
        r->place = (struct place){.file = path, .file_no = UINT_MAX};
        if (!r->conf || !r->paths)
                return -ENOMEM;
        for (size_t i = 0; i < schema->n_sections; i++)
                if (!schema->sections[i].which &&
                    !open_notes(r, &schema->sections[i], (char *)r->conf + schema->sections[i].offset))
                        return -ENOMEM;
        *ret_r = steal(r);
        return 0;
}

/* Defaults and relations; reports the mistakes, or hands the configuration out if there are none. */
static int reader_end(struct conf_reader *r, const char *path, struct conf **ret_conf, struct conf_errors *errors)
{
        int code = 0;

        r->place = (struct place){.file = path, .file_no = UINT_MAX};
        for (size_t i = 0; i < r->schema->n_sections; i++) {
                const struct conf_section *s = &r->schema->sections[i];
                const struct notes *one = r->notes;

                while (one && one->section != s)
                        one = one->next;
                if (s->required && r->n_faults == 0 && !one)
                        fault_at(r, &r->place, NULL, "there is no [%s%s%s] section; at least one is needed", s->name,
                                 s->which ? " " : "", s->which ? s->which : "");
        }
        for (const struct notes *n = r->notes; n && code == 0; n = n->next)
                code = set_defaults(r, n);
        for (const struct notes *n = r->notes; n && code == 0; n = n->next)
                check_needs(r, n);
        if (code == 0 && r->schema->relate)
                code = r->schema->relate(r, r->conf);
        if (code < 0)
                return code;
        report(r, errors);
        if (r->n_faults)
                return -EINVAL;
        *ret_conf = steal(r->conf);
        return 0;
}

int conf_load(struct conf **ret_conf, const struct conf_schema *schema, const char *path, struct buffer *merged,
              struct conf_errors *errors)
{
        _cleanup_(reader_freep) struct conf_reader *r = NULL;
        struct stat st;
        int code = reader_new(&r, schema, path);

        if (code < 0)
                return code;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                code = load_folder(r, path, merged);
        else
                code = load_file(r, path, merged);
        return code < 0 ? code : reader_end(r, path, ret_conf, errors);
}

int conf_from_fd(struct conf **ret_conf, const struct conf_schema *schema, int fd, struct error *err)
{
        static const char name[] = "configuration";
        _cleanup_(reader_freep) struct conf_reader *r = NULL;
        _cleanup_(buffer_free) struct buffer text = BUFFER(CONF_TEXT_MAX + FILES_MAX);
        _cleanup_(conf_errors_clear) struct conf_errors errors = CONF_ERRORS;
        int code = reader_new(&r, schema, name);

        if (code == 0 && lseek(fd, 0, SEEK_SET) < 0)
                return error_fail(err, -errno, "%s: %s", name, strerror(errno));
        if (code == 0)
                code = fd_read_all(&text, fd, err);
        if (code == 0)
                code = take_text(r, name, &text);
        if (code == 0)
                code = reader_end(r, name, ret_conf, &errors);
        if (errors.n)
                return error_fail(err, code, "%.*s", (int)strcspn(errors.lines.data, "\n"), errors.lines.data);
        return code;
}
