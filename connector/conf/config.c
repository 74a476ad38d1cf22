/*
 * Reading a configuration: files, sections, keys, and every error of one run.
 *
 * Owns the pass over the text (libinih) and the notes where each key was set. inih reports only the first
 * malformed line, so a line it refuses is noted, blanked and the text read again. Values are judged by
 * conf/field.c, relations between keys by conf/relate.c. Nothing here changes a file.
 */
#include "connector/conf/parse.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/text.h"

#define LINE_MAX_BYTES 4000
#define SECTION_NAME_MAX 300

void config_errors_clear(struct config_errors *e)
{
        buffer_free(&e->lines);
        e->n = 0;
}

void parse_error(struct config_parser *p, const struct config_place *place, const char *key, const char *why)
{
        struct config_fault *f = p->n_faults < CONFIG_ERRORS_MAX ? &p->faults[p->n_faults] : NULL;

        p->n_faults++;
        if (!f)
                return;
        f->place = *place;
        f->order = p->n_faults;
        (void)snprintf(f->text, sizeof(f->text), "%s%s%s", key ? key : "", key ? ": " : "", why);
}

/* ---- sections ---- */

static struct config_section_notes *open_domain(struct config_parser *p, const char *name)
{
        struct error why;

        if (check_domain_name(name, &why) < 0) {
                parse_error(p, &p->place, "[domain]", why.text);
                return NULL;
        }
        for (size_t i = 0; i < p->config->n_domains; i++)
                if (strcmp(p->config->domains[i].name, name) == 0)
                        return &p->domain_notes[i];
        if (p->config->n_domains == CONFIG_DOMAINS_MAX) {
                parse_error(p, &p->place, "[domain]", "there are more than 32 domains, allowed: 1 to 32");
                return NULL;
        }
        size_t i = p->config->n_domains;
        if (text_set(&p->config->domains[i].name, name) < 0) {
                p->no_memory = true;
                return NULL;
        }
        p->config->n_domains++;
        p->domain_notes[i].opened = p->place;
        return &p->domain_notes[i];
}

static struct config_section_notes *open_section(struct config_parser *p, char *name)
{
        char shown[340];

        p->section = SECTION_CONNECTOR;
        if (strcmp(name, "connector") == 0)
                return &p->connector_notes;
        p->section = SECTION_DOMAIN;
        if (strncmp(name, "domain", 6) == 0 && strchr(" \t", name[6])) { /* or nothing behind it */
                name += 6 + strspn(name + 6, " \t");
                for (char *s = name; *s; s++)
                        *s = (char)tolower((unsigned char)*s);
                return open_domain(p, name);
        }
        (void)snprintf(shown, sizeof(shown), "[%s]", name);
        parse_error(p, &p->place, shown, "the section is unknown, allowed: [connector], [domain NAME]");
        return NULL;
}

/* What follows belongs to a section that was refused. */
static void leave_section(struct config_parser *p)
{
        p->in_section = true;
        p->notes = NULL;
}

/* The reader does this itself because inih cuts long names and skips empty sections. */
static void enter_section(struct config_parser *p, const char *line, size_t n)
{
        char name[SECTION_NAME_MAX];
        const char *why;

        leave_section(p);
        if (admin_section(name, sizeof(name), line, n, &why) == 1)
                p->notes = open_section(p, name);
}

/* ---- one line after the other for inih ---- */

/* What this run must not show to inih: comments stay, lines with faults become empty. */
static bool line_blanked(const struct config_parser *p)
{
        for (size_t i = 0; i < p->n_blanked; i++)
                if (p->blanked[i] == p->place.line)
                        return true;
        return false;
}

static void blank_line(struct config_parser *p, const char *why)
{
        parse_error(p, &p->place, NULL, why);
        if (p->n_blanked < CONFIG_ERRORS_MAX)
                p->blanked[p->n_blanked++] = p->place.line;
}

/* line: without blanks at its beginning. */
static const char *line_fault(const char *line, size_t n)
{
        char name[SECTION_NAME_MAX];
        const char *why = NULL;

        if (n > LINE_MAX_BYTES)
                return "the line is longer than 4000 bytes";
        if (n > 0 && (line[0] == '#' || line[0] == ';'))
                return admin_comment_fault(line, n);
        why = admin_line_fault(line, n);
        return why || admin_section(name, sizeof(name), line, n, &why) < 0 ? why : NULL;
}

/* Like fgets: the next line of p->text, or an empty one in the place of a faulty one. */
static char *read_line(char *out, int cap, void *arg)
{
        struct config_parser *p = arg;

        if (p->at >= p->len)
                return NULL;
        const char *line = p->text + p->at, *end = memchr(line, '\n', p->len - p->at);
        size_t n = end ? (size_t)(end - line) : p->len - p->at;
        p->at += n + (end ? 1 : 0);
        p->place.line++;
        while (n > 0 && isspace((unsigned char)*line)) {
                line++;
                n--;
        }
        const char *fault = line_fault(line, n);
        if (fault && p->first_pass)
                blank_line(p, fault);
        if (fault || line_blanked(p) || n + 2 > (size_t)cap) {
                if (n > 0 && line[0] == '[') /* its keys are not those of the section before */
                        leave_section(p);
                n = 0;
        }
        memcpy(out, line, n);
        out[n] = '\n';
        out[n + 1] = '\0';
        if (out[0] == '[' && p->values_pass)
                enter_section(p, line, n);
        return out;
}

static int run_inih(struct config_parser *p, ini_handler handler)
{
        p->at = 0;
        p->place.line = 0;
        p->in_section = false;
        p->notes = NULL;
        ini_max_line = LINE_MAX_BYTES + 8;
        ini_initial_alloc = ini_max_line;
        ini_use_stack = false;
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_stop_on_first_error = true;
        return ini_parse_stream(read_line, p, handler, p);
}

static int any_line(void *arg, const char *section, const char *name, const char *value)
{
        (void)arg;
        (void)section;
        (void)name;
        (void)value;
        return 1;
}

/* Notes and blanks every line that is neither a section, a key, a comment nor empty. */
static int find_malformed(struct config_parser *p)
{
        int line;

        p->n_blanked = 0;
        p->first_pass = true;
        while ((line = run_inih(p, any_line)) > 0 && p->n_blanked < CONFIG_ERRORS_MAX) {
                p->first_pass = false;
                p->place.line = (unsigned)line;
                blank_line(p, "neither [section] nor key = value nor a comment");
        }
        p->first_pass = false;
        return line == -2 ? -ENOMEM : 0;
}

/* ---- keys ---- */

static void *current_base(struct config_parser *p)
{
        if (p->section == SECTION_CONNECTOR)
                return p->config;
        return &p->config->domains[p->notes - p->domain_notes];
}

/* A '#' or ';' behind the value is far more often meant as a comment than as a part of it. */
static bool has_comment(const char *value)
{
        return strstr(value, " #") || strstr(value, "\t#") || strstr(value, " ;") || strstr(value, "\t;");
}

static const char *key_fault(struct config_parser *p, const struct config_key *key, const char *value,
                             struct error *why)
{
        struct config_place *set = &p->notes->set[key - config_keys];
        int r;

        if (set->line) {
                (void)error_fail(why, 0, "it is given twice, first at %s:%u", set->file, set->line);
                return why->text;
        }
        *set = p->place;
        if (has_comment(value))
                r = error_fail(why, -EINVAL, "a comment needs a line of its own");
        else
                r = config_key_set(key, current_base(p), value, why);
        set->refused = r < 0;
        p->no_memory = p->no_memory || r == -ENOMEM;
        return r < 0 ? why->text : NULL;
}

static const char *unknown_key(enum config_section section, const char *name)
{
        if (section == SECTION_DOMAIN && config_key_find(SECTION_CONNECTOR, name))
                return "the key belongs into [connector]";
        if (section == SECTION_CONNECTOR && config_key_find(SECTION_DOMAIN, name))
                return "the key belongs into a [domain NAME] section";
        return "the key is unknown; postern.conf(5) lists all keys";
}

static int take_key(void *arg, const char *section, const char *name, const char *value)
{
        struct config_parser *p = arg;
        struct error why = {"out of memory"};
        const char *fault;

        (void)section;
        if (!p->in_section) {
                parse_error(p, &p->place, name, "the key stands before the first section");
                return 1;
        }
        if (!p->notes) /* the section was refused, and that was said */
                return 1;
        const struct config_key *key = config_key_find(p->section, name);
        fault = key ? key_fault(p, key, value, &why) : unknown_key(p->section, name);
        if (fault)
                parse_error(p, &p->place, name, fault);
        return 1;
}

int parse_text(struct config_parser *p, const char *file, const char *text, size_t n)
{
        p->place = (struct config_place){.file = file, .file_no = p->n_files++};
        p->text = text;
        p->len = n;
        int r = find_malformed(p);
        p->values_pass = true;
        if (r == 0 && run_inih(p, take_key) == -2)
                r = -ENOMEM;
        p->values_pass = false;
        return r < 0 || p->no_memory ? -ENOMEM : 0;
}

/* ---- files ---- */

static void file_fault(struct config_parser *p, const char *path, const char *why)
{
        const struct config_place place = {.file = path, .file_no = p->n_files++};

        parse_error(p, &place, NULL, why);
}

/* file is kept in p->paths: the notes point to it. */
static int load_file(struct config_parser *p, const char *file, struct buffer *merged)
{
        struct buffer text = BUFFER(CONFIG_TEXT_MAX);
        struct error why;
        char *kept = strdup(file);

        if (!kept)
                return -ENOMEM;
        p->paths[p->n_paths++] = kept;
        int r = admin_text_read(&text, file, &why);
        if (r < 0)
                file_fault(p, kept, why.text);
        else
                r = parse_text(p, kept, text.len ? text.data : "", text.len);
        if (r == 0 && merged &&
            (buffer_append(merged, text.data, text.len) < 0 || buffer_append_char(merged, '\n') < 0))
                file_fault(p, kept, "all files together are too long, allowed: 256 KiB");
        buffer_free(&text);
        return r == -ENOMEM ? r : 0;
}

static int is_conf(const struct dirent *entry)
{
        size_t n = strlen(entry->d_name);

        return n > 5 && entry->d_name[0] != '.' && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

static int load_folder(struct config_parser *p, const char *path, struct buffer *merged)
{
        struct dirent **entries = NULL;
        int n = scandir(path, &entries, is_conf, alphasort), r = 0;
        char file[PATH_MAX];

        if (n <= 0)
                file_fault(p, path,
                           n < 0 ? strerror(errno)
                                 : "the folder holds no *.conf file; write one, like the sample postern.conf.example");
        for (int i = 0; i < n; i++) {
                int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
                if (r == 0 && (i >= CONFIG_FILES_MAX || len >= (int)sizeof(file)))
                        file_fault(p, path, "too many files, allowed: 64");
                else if (r == 0)
                        r = load_file(p, file, merged);
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int by_place(const void *a, const void *b)
{
        const struct config_fault *x = a, *y = b;

        if (x->place.file_no != y->place.file_no)
                return x->place.file_no < y->place.file_no ? -1 : 1;
        if (x->place.line != y->place.line)
                return x->place.line < y->place.line ? -1 : 1;
        return x->order < y->order ? -1 : 1;
}

/* The text of a file that can't be read names it already. */
static bool names_file(const struct config_fault *f)
{
        size_t n = strlen(f->place.file);

        return strncmp(f->text, f->place.file, n) == 0 && f->text[n] == ':';
}

static void report_faults(struct config_parser *p, struct config_errors *errors)
{
        size_t n = p->n_faults < CONFIG_ERRORS_MAX ? p->n_faults : CONFIG_ERRORS_MAX;

        qsort(p->faults, n, sizeof(p->faults[0]), by_place);
        for (size_t i = 0; i < n; i++) {
                const struct config_fault *f = &p->faults[i];
                if (f->place.line)
                        (void)buffer_printf(&errors->lines, "%s:%u: %s\n", f->place.file, f->place.line, f->text);
                else
                        (void)buffer_printf(&errors->lines, "%s%s%s\n", names_file(f) ? "" : f->place.file,
                                            names_file(f) ? "" : ": ", f->text);
        }
        if (p->n_faults > n)
                (void)buffer_printf(&errors->lines, "and %zu more\n", p->n_faults - n);
        errors->n += p->n_faults;
}

static int parser_new(struct config_parser **ret_p)
{
        struct config_parser *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->config = calloc(1, sizeof(*p->config));
        if (!p->config) {
                free(p);
                return -ENOMEM;
        }
        *ret_p = p;
        return 0;
}

static struct config_parser *parser_free(struct config_parser *p)
{
        for (size_t i = 0; i < p->n_paths; i++)
                free(p->paths[i]);
        config_free(p->config);
        free(p);
        return NULL;
}
DEFINE_FREEP(struct config_parser, parser_free)

/* Checks the relations, reports the faults, hands the configuration out if there are none. */
static int parser_end(struct config_parser *p, const char *path, struct config **ret_config,
                      struct config_errors *errors)
{
        const struct config_place whole = {.file = path, .file_no = p->n_files};

        int r = config_relate(p, &whole);
        if (r < 0)
                return r;
        report_faults(p, errors);
        if (p->n_faults)
                return -EINVAL;
        *ret_config = steal(p->config);
        return 0;
}

int config_load(struct config **ret_config, const char *path, struct buffer *merged, struct config_errors *errors)
{
        _cleanup_(parser_freep) struct config_parser *p = NULL;
        struct stat st;
        int r = parser_new(&p);

        if (r < 0)
                return r;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                r = load_folder(p, path, merged);
        else
                r = load_file(p, path, merged);
        return r < 0 ? r : parser_end(p, path, ret_config, errors);
}

int config_from_fd(struct config **ret_config, int fd, struct error *err)
{
        _cleanup_(parser_freep) struct config_parser *p = NULL;
        _cleanup_(buffer_free) struct buffer text = BUFFER(CONFIG_TEXT_MAX + CONFIG_FILES_MAX);
        _cleanup_(config_errors_clear) struct config_errors errors = CONFIG_ERRORS;
        int r = parser_new(&p);

        if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
                return error_fail(err, -errno, "configuration: %s", strerror(errno));
        if (r == 0)
                r = fd_read_all(&text, fd, err);
        if (r == 0)
                r = parse_text(p, "configuration", text.len ? text.data : "", text.len);
        if (r == 0)
                r = parser_end(p, "configuration", ret_config, &errors);
        if (errors.n)
                return error_fail(err, r, "%.*s", (int)strcspn(errors.lines.data, "\n"), errors.lines.data);
        return r;
}

int config_of_child(struct config **ret_config, const char *name, int received, struct error *err)
{
        _cleanup_(closep) int fd = received;
        int r = config_from_fd(ret_config, fd, err);

        if (r == 0)
                log_open(name, (*ret_config)->log_level, NULL);
        return r;
}

struct config *config_free(struct config *config)
{
        if (!config)
                return NULL;
        for (size_t k = 0; k < config_keys_n; k++) {
                if (config_keys[k].section == SECTION_CONNECTOR)
                        config_key_clear(&config_keys[k], config);
                else
                        for (size_t i = 0; i < CONFIG_DOMAINS_MAX; i++)
                                config_key_clear(&config_keys[k], &config->domains[i]);
        }
        for (size_t i = 0; i < CONFIG_DOMAINS_MAX; i++)
                free(config->domains[i].name);
        free(config);
        return NULL;
}
