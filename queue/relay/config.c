/*
 * The relay's configuration file: INI by inih, one flat section, every mistake told in one run.
 *
 * Owns the table of keys. Invariant: what is not in the table is an error, and a config that was accepted
 * needs no further check but that its files can be read. Paths are not opened here.
 */
#include "queue/relay/config.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core/admin-text.h"
#include "base/core/buffer.h"
#include "base/core/cleanup.h"
#include "base/core/text.h"

#define CONFIG_FILE_MAX (64 * 1024)

struct reading {
        struct relay_config *config;
        const char *file;
        const char *text, *end; /* what is unread */
        int line;
        unsigned faults;
        unsigned seen;  /* bit per key */
        bool elsewhere; /* in a section that was refused */
        relay_config_fault_fn *fault;
        void *arg;
};

struct key_row;
typedef int key_fn(struct relay_config *c, const struct key_row *key, const char *value, struct error *err);

struct key_row {
        const char *name;
        key_fn *take;
        size_t offset;
        uint64_t min, max, fallback; /* numbers */
        const char *text;            /* default of a text */
        bool required, repeats;
};

static char **text_field(struct relay_config *c, const struct key_row *key)
{
        return (char **)(void *)((char *)c + key->offset);
}

static uint64_t *number_field(struct relay_config *c, const struct key_row *key)
{
        return (uint64_t *)(void *)((char *)c + key->offset);
}

static int take_text(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        if (!*value)
                return error_fail(err, -EINVAL, "is empty");
        return text_set(text_field(c, key), value);
}

static int take_path(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        if (*value != '/')
                return error_fail(err, -EINVAL, "must be an absolute path, not \"%s\"", value);
        return text_set(text_field(c, key), value);
}

static int take_number(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        if (text_parse_u64(value, key->min, key->max, number_field(c, key)) < 0)
                return error_fail(err, -EINVAL, "\"%s\" is not a number from %llu to %llu", value,
                                  (unsigned long long)key->min, (unsigned long long)key->max);
        return 0;
}

static int take_level(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        (void)key;
        if (!log_level_parse(value, &c->log_level))
                return error_fail(err, -EINVAL, "\"%s\" is not one of error, warning, info, debug", value);
        return 0;
}

static int take_node(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        if (strlen(value) > 64)
                return error_fail(err, -EINVAL, "is longer than 64 characters");
        return take_text(c, key, value, err);
}

/* host:port with a numeric host, IPv6 in brackets. */
static int take_listen(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        struct relay_listen *l = &c->listen[c->n_listen];
        const char *colon = strrchr(value, ':');
        uint64_t port;

        (void)key;
        if (c->n_listen == RELAY_LISTEN_MAX)
                return error_fail(err, -EINVAL, "at most %d addresses", RELAY_LISTEN_MAX);
        if (!colon || text_parse_u64(colon + 1, 0, 65535, &port) < 0)
                return error_fail(err, -EINVAL, "\"%s\" is not ADDRESS:PORT", value);
        size_t n = (size_t)(colon - value);
        if (n > 2 && value[0] == '[' && value[n - 1] == ']') {
                value++;
                n -= 2;
        }
        if (n == 0 || n >= sizeof(l->host) || strspn(value, "0123456789abcdefABCDEF.:") < n)
                return error_fail(err, -EINVAL, "the address must be numeric, like 0.0.0.0:443 or [::]:443");
        memcpy(l->host, value, n);
        l->host[n] = '\0';
        l->port = (uint16_t)port;
        c->n_listen++;
        return 0;
}

static int take_nodes(struct relay_config *c, const struct key_row *key, const char *value, struct error *err)
{
        (void)key;
        if (c->n_nodes == RELAY_NODES_MAX)
                return error_fail(err, -EINVAL, "at most %d nodes", RELAY_NODES_MAX);
        if (strncmp(value, "https://", 8) != 0 || strlen(value) > 256)
                return error_fail(err, -EINVAL, "\"%s\" is not an https:// address of at most 256 characters", value);
        int r = text_set(&c->nodes[c->n_nodes], value);
        if (r == 0)
                c->n_nodes++;
        return r;
}

#define AT(field) offsetof(struct relay_config, field)
static const struct key_row keys[] = {
        {.name = "listen", .take = take_listen, .required = true, .repeats = true},
        {.name = "certificate", .take = take_path, .offset = AT(certificate), .required = true},
        {.name = "key", .take = take_path, .offset = AT(key), .required = true},
        {.name = "state_dir", .take = take_path, .offset = AT(state_dir), .text = "/var/lib/postern-relay"},
        {.name = "user", .take = take_text, .offset = AT(user)},
        {.name = "node", .take = take_node, .offset = AT(node)},
        {.name = "node_url", .take = take_nodes, .repeats = true},
        {.name = "ready_file", .take = take_path, .offset = AT(ready_file)},
        {.name = "log_level", .take = take_level},
        {.name = "certificate_days",
         .take = take_number,
         .offset = AT(certificate_days),
         .min = 1,
         .max = 30,
         .fallback = 30},
        {.name = "certificate_minutes",
         .take = take_number,
         .offset = AT(certificate_minutes),
         .min = 0,
         .max = 30 * 24 * 60,
         .fallback = 0},
        {.name = "connections",
         .take = take_number,
         .offset = AT(connections),
         .min = 16,
         .max = 65536,
         .fallback = 4096},
        {.name = "connections_per_address",
         .take = take_number,
         .offset = AT(connections_per_address),
         .min = 1,
         .max = 65536,
         .fallback = 1024},
        {.name = "links_per_tenant",
         .take = take_number,
         .offset = AT(links_per_tenant),
         .min = 1,
         .max = 1024,
         .fallback = 64},
        {.name = "in_flight_per_tenant",
         .take = take_number,
         .offset = AT(in_flight_per_tenant),
         .min = 1,
         .max = 65536,
         .fallback = 4096},
        {.name = "sign_ins_per_second",
         .take = take_number,
         .offset = AT(sign_ins_per_second),
         .min = 1,
         .max = 100000,
         .fallback = 2000},
        {.name = "sign_in_burst",
         .take = take_number,
         .offset = AT(sign_in_burst),
         .min = 1,
         .max = 100000,
         .fallback = 4000},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static void tell(struct reading *r, int line, const char *key, const char *why)
{
        struct error text;

        error_fail(&text, 0, "%s: %s", key, why);
        r->faults++;
        r->fault(r->arg, r->file, line, text.text);
}

/* A '#' or ';' behind the value is far more often meant as a comment than as a part of it. */
static bool has_comment(const char *value)
{
        return strstr(value, " #") || strstr(value, "\t#") || strstr(value, " ;") || strstr(value, "\t;");
}

/* One "name = value" of the file. inih wants non-zero for "go on". */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
        struct reading *r = user;
        struct error err = {"no memory"};

        (void)section;
        if (r->elsewhere)
                return 1;
        for (size_t i = 0; i < N_KEYS; i++) {
                if (strcmp(keys[i].name, name) != 0)
                        continue;
                if ((r->seen & (1U << i)) && !keys[i].repeats)
                        tell(r, r->line, name, "stands twice");
                else if (has_comment(value))
                        tell(r, r->line, name, "a comment needs a line of its own");
                else if (keys[i].take(r->config, &keys[i], value, &err) < 0)
                        tell(r, r->line, name, err.text);
                r->seen |= 1U << i;
                return 1;
        }
        tell(r, r->line, name, "unknown key");
        return 1;
}

/* What is wrong with a line as a line, or NULL; takes note of sections. */
static const char *judge_line(struct reading *r, const char *line, size_t n, size_t cap)
{
        const char *fault = NULL;
        char name[64] = "";

        if (n + 2 > cap)
                return "is too long";
        if (n > 0 && (line[0] == '#' || line[0] == ';'))
                return admin_comment_fault(line, n);
        if ((fault = admin_line_fault(line, n)))
                return fault;
        int section = admin_section(name, sizeof(name), line, n, &fault);
        if (section)
                r->elsewhere = section < 0 || strcmp(name, "relay") != 0;
        if (section == 1)
                return r->elsewhere ? "unknown section; the only one is [relay]" : NULL;
        if (section == 0 && n > 0 && !memchr(line, '=', n) && !memchr(line, ':', n))
                return "is neither [section], key = value nor a comment";
        return fault;
}

/* Hands inih one line and counts it, so that on_pair knows its place; an empty one for sections and what was refused.
 */
static char *next_line(char *out, int cap, void *stream)
{
        struct reading *r = stream;
        const char *line = r->text, *newline = memchr(line, '\n', (size_t)(r->end - line));
        size_t n = newline ? (size_t)(newline - line) : (size_t)(r->end - line);

        if (line == r->end)
                return NULL;
        r->text += n + (newline ? 1 : 0);
        r->line++;
        for (; n > 0 && (*line == ' ' || *line == '\t'); n--)
                line++;
        const char *fault = judge_line(r, line, n, (size_t)cap);
        if (fault)
                tell(r, r->line, "line", fault);
        if (fault || (n > 0 && *line == '['))
                n = 0;
        memcpy(out, line, n);
        memcpy(out + n, "\n", 2);
        return out;
}

static int set_defaults(struct relay_config *c)
{
        char host[65] = "relay";

        c->log_level = LOG_LEVEL_INFO;
        gethostname(host, sizeof(host) - 1);
        for (size_t i = 0; i < N_KEYS; i++) {
                if (keys[i].text && text_set(text_field(c, &keys[i]), keys[i].text) < 0)
                        return -ENOMEM;
                if (keys[i].max)
                        *number_field(c, &keys[i]) = keys[i].fallback;
        }
        return text_set(&c->node, host);
}

static void check_required(struct reading *r)
{
        for (size_t i = 0; i < N_KEYS; i++) {
                if (keys[i].required && !(r->seen & (1U << i)))
                        tell(r, 0, keys[i].name, "is required");
        }
}

int relay_config_read(struct relay_config *ret_config, const char *path, relay_config_fault_fn *fault, void *arg,
                      struct error *err)
{
        __attribute__((cleanup(buffer_free))) struct buffer text = BUFFER(CONFIG_FILE_MAX);
        struct relay_config config = {.n_listen = 0};
        struct reading r = {.config = &config, .file = path, .fault = fault, .arg = arg};

        int code = admin_text_read(&text, path, err);
        if (code < 0)
                return code;
        if (set_defaults(&config) < 0) {
                relay_config_clear(&config);
                return error_fail(err, -ENOMEM, "no memory");
        }
        r.text = text.data ? text.data : "";
        r.end = r.text + text.len;
        ini_allow_multiline = false; /* an indented key is a key */
        ini_allow_inline_comments = false;
        int bad_line = ini_parse_stream(next_line, &r, on_pair, &r);
        if (bad_line > 0)
                tell(&r, bad_line, "line", "is neither [section], key = value nor a comment");
        check_required(&r);
        if (r.faults) {
                relay_config_clear(&config);
                return error_fail(err, -EINVAL, "%s: %u mistakes", path, r.faults);
        }
        *ret_config = config;
        return 0;
}

void relay_config_clear(struct relay_config *config)
{
        free(config->certificate);
        free(config->key);
        free(config->state_dir);
        free(config->user);
        free(config->node);
        free(config->ready_file);
        for (size_t i = 0; i < config->n_nodes; i++)
                free(config->nodes[i]);
        *config = (struct relay_config){.n_listen = 0};
}
