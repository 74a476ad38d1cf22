/*
 * The configuration engine with a program of its own: a table with each type of key, the struct that it fills, every
 * mistake in one run, and the sample file and man page that come from the same rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/conf/conf.h"

/* ---- the program ---- */

enum colour { RED = 0, GREEN = 7 };

struct door {
        const char *name;
        const char *owner;
        const char *key_file;
        bool open;
};

struct program {
        struct conf conf;
        const char *title, *folder;
        uint8_t narrow;
        uint16_t port;
        uint32_t limit;
        uint64_t wait_ms;
        enum colour colour;
        bool loud;
        const char *friends[3];
        struct {
                char text[8];
                size_t length;
        } words[2];
        size_t n_words;
        struct door doors[2];
        size_t n_doors;
};

static int check_friend(const char *value, struct error *err)
{
        return strcmp(value, "foe") == 0 ? error_fail(err, -EINVAL, "'%s' is none", value) : 0;
}

static int check_door(const char *value, struct error *err)
{
        return strlen(value) > 5 ? error_fail(err, -EINVAL, "'%s' is too long", value) : 0;
}

static int item_word(struct conf *conf, void *slot, const char *item, struct error *err)
{
        struct {
                char text[8];
                size_t length;
        } *word = slot;

        (void)conf;
        if (strlen(item) >= sizeof(word->text))
                return error_fail(err, -EINVAL, "'%s' is too long", item);
        memcpy(word->text, item, strlen(item));
        word->length = strlen(item);
        return 0;
}

static const struct conf_word colours[] = {{"red", RED}, {"green", GREEN}, {NULL, 0}};
static const struct conf_word yes_no[] = {{"no", false}, {"yes", true}, {NULL, 0}};

#define P(key, field) CONF_FIELD(struct program, key, field)
#define ITEMS(key, field) CONF_ITEMS(struct program, key, field)
#define DOOR(key, field) CONF_FIELD(struct door, key, field)

static const struct conf_key program_keys[] = {
        {P("title", title), .max = 8, .range = "up to 8 bytes", .required = true, .example = "Doors",
         .help = "A title."},
        {P("folder", folder), .max = 64, .check = conf_check_path, .range = "an absolute path", .initial = "/var/lib/x",
         .help = "A folder-with-hyphens."},
        {P("narrow", narrow), .type = CONF_NUMBER, .max = 255, .initial = "200", .help = "One byte."},
        {P("port", port), .type = CONF_NUMBER, .min = 1, .max = 65535, .initial = "443", .help = "Two bytes."},
        {P("limit", limit), .type = CONF_NUMBER, .max = 4000000000, .initial = "3", .help = "Four bytes."},
        {P("wait_s", wait_ms), .type = CONF_NUMBER, .scale = 1000, .max = 4000000000, .initial = "5",
         .help = "Eight bytes, in milliseconds."},
        {P("colour", colour), .type = CONF_WORD, .words = colours, .initial = "green", .help = "A word."},
        {P("loud", loud), .type = CONF_WORD, .words = yes_no, .initial = "no", .help = "Another."},
        {ITEMS("friends", friends), .check = check_friend, .range = "up to 3 names", .otherwise = "none",
         .help = "A list of texts."},
        {ITEMS("word", words), .item = item_word, .repeats = true, .offset_n = offsetof(struct program, n_words),
         .range = "words of 7 bytes", .otherwise = "none", .help = "A list of structs."},
};
static const struct conf_key door_keys[] = {
        {DOOR("owner", owner), .max = 8, .range = "a name", .otherwise = "nobody", .help = "Who owns it.",
         .needs = {{"key_file", "the owner locks it"}}},
        {DOOR("key_file", key_file), .max = 64, .check = conf_check_path, .range = "an absolute path",
         .otherwise = "none", .help = "Its key."},
        {DOOR("open", open), .type = CONF_WORD, .words = yes_no, .initial = "yes", .help = "Whether it is open."},
};
static const struct conf_section sections[] = {
        {.name = "program", .keys = program_keys, .n_keys = sizeof(program_keys) / sizeof(program_keys[0])},
        {.name = "door",
         .keys = door_keys,
         .n_keys = sizeof(door_keys) / sizeof(door_keys[0]),
         .which = "NAME",
         .check = check_door,
         .offset = offsetof(struct program, doors),
         .size = sizeof(struct door),
         .max = 2,
         .offset_n = offsetof(struct program, n_doors),
         .required = true,
         .title = "door front",
         .comment = "One for each door."},
};

static int relate(struct conf_reader *r, struct conf *conf)
{
        struct program *p = (struct program *)(void *)conf;

        if (p->n_doors == 2 && p->doors[0].open && p->doors[1].open)
                conf_fault(r, &p->doors[1], "open", "there is a draught");
        if (p->loud && conf_lacks(r, p, "friends"))
                conf_fault(r, p, "loud", "nobody hears it");
        return 0;
}

static const struct conf_schema schema = {.size = sizeof(struct program),
                                          .sections = sections,
                                          .n_sections = 2,
                                          .page = "doors(5)",
                                          .sample = "doors.example",
                                          .relate = relate};

/* ---- helpers ---- */

/* What text is told to be wrong with, or NULL and *ret_p. */
static const char *load(const char *text, struct program **ret_p)
{
        static char told[4096];
        char path[] = "/tmp/postern-conf-XXXXXX";
        struct conf_errors errors = CONF_ERRORS;
        struct conf *conf = NULL;
        int fd = mkstemp(path), r;

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        (void)close(fd);
        r = conf_load(&conf, &schema, path, NULL, &errors);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(r, errors.n ? -EINVAL : 0);
        size_t n = 0;
        for (const char *s = errors.n ? errors.lines.data : "", *at; *s; s = *at ? at + strlen(path) : at) {
                at = strstr(s, path); /* all but the file's name */
                at = at ? at : s + strlen(s);
                n += (size_t)snprintf(told + n, sizeof(told) - n, "%.*s", (int)(at - s), s);
        }
        conf_errors_clear(&errors);
        *ret_p = (struct program *)(void *)conf;
        return r < 0 ? told : NULL;
}

static void assert_told(const char *text, const char *want)
{
        struct program *p;
        const char *told = load(text, &p);

        if (!told || strcmp(told, want) != 0)
                fail_msg("%s\nis told as\n%s\ninstead of\n%s", text, told ? told : "fine", want);
        assert_null(p);
}

#define LEAST "[program]\ntitle = t\n[door d]\n"

/* ---- tests ---- */

static void test_defaults(void **state)
{
        struct program *p;

        (void)state;
        assert_null(load(LEAST, &p));
        assert_string_equal(p->title, "t");
        assert_string_equal(p->folder, "/var/lib/x");
        assert_int_equal(p->narrow, 200);
        assert_int_equal(p->port, 443);
        assert_int_equal(p->limit, 3);
        assert_int_equal(p->wait_ms, 5000);
        assert_int_equal(p->colour, GREEN);
        assert_false(p->loud);
        assert_null(p->friends[0]);
        assert_int_equal(p->n_words, 0);
        assert_int_equal(p->n_doors, 1);
        assert_string_equal(p->doors[0].name, "d");
        assert_null(p->doors[0].owner);
        assert_true(p->doors[0].open);
        conf_free(&p->conf);
}

static void test_every_type(void **state)
{
        struct program *p;

        (void)state;
        assert_null(load("[program]\ntitle = My doors\nfolder=/x\nnarrow = 255\nport = 65535\nlimit : 4000000000\n"
                         "wait_s = 4000000000\ncolour = red\nloud = yes\nfriends = a, b\tc\nword = one\n word = two\n"
                         "[door FRONT]\nopen = no\n[door back]\nowner = me\n[door front]\n"
                         "[door back]\nkey_file = /k\n",
                         &p));
        assert_string_equal(p->title, "My doors");
        assert_string_equal(p->folder, "/x");
        assert_int_equal(p->narrow, 255);
        assert_int_equal(p->port, 65535);
        assert_int_equal(p->limit, 4000000000);
        assert_true(p->wait_ms == 4000000000000);
        assert_int_equal(p->colour, RED);
        assert_true(p->loud);
        assert_string_equal(p->friends[2], "c");
        assert_int_equal(p->n_words, 2);
        assert_string_equal(p->words[1].text, "two");
        assert_int_equal(p->words[0].length, 3);
        assert_int_equal(p->n_doors, 2);
        assert_string_equal(p->doors[0].name, "front");
        assert_false(p->doors[0].open);
        assert_string_equal(p->doors[1].key_file, "/k"); /* a section may go on further down */
        conf_free(&p->conf);
}

static void test_values(void **state)
{
        (void)state;
        assert_told("[program]\ntitle = t\nnarrow = 256\nport = 0\nlimit = -1\ncolour = blue\nfolder = x\n[door d]\n",
                    ":3: narrow: '256' is out of range, allowed: 0 to 255\n"
                    ":4: port: '0' is out of range, allowed: 1 to 65535\n"
                    ":5: limit: '-1' is not a number, allowed: 0 to 4000000000\n"
                    ":6: colour: 'blue' is unknown, allowed: red, green\n"
                    ":7: folder: 'x' does not begin with '/', allowed: an absolute path\n");
        assert_told("[program]\ntitle = 123456789\nfolder =\nfriends = a foe b\nword = a b c\n[door d]\n",
                    ":2: title: it has 9 bytes, allowed: up to 8 bytes\n"
                    ":3: folder: it is empty; leave the key out for the default, allowed: an absolute path\n"
                    ":4: friends: 'foe' is none, allowed: up to 3 names\n"
                    ":5: word: it has more than 2 items, allowed: words of 7 bytes\n");
        assert_told("[program]\ntitle = t # mine\nport = 1\nport = 2\n[door d]\nopen = maybe\n",
                    ":2: title: a comment needs a line of its own\n"
                    ":4: port: it is given twice, first at :3\n"
                    ":6: open: 'maybe' is unknown, allowed: no, yes\n");
}

static void test_sections(void **state)
{
        (void)state;
        assert_told("port = 1\n[nowhere]\nx = 1\n[program]\ntitle = t\nopen = yes\n[door]\nowner = me\nprot = 1\n",
                    ":1: port: the key stands before the first section\n"
                    ":2: [nowhere]: the section is unknown, allowed: [program], [door NAME]\n"
                    ":6: open: the key belongs in a [door NAME] section\n"
                    ":8: owner: it needs key_file: the owner locks it\n"
                    ":9: prot: the key is unknown; doors(5) lists all keys\n");
        assert_told("[program]\ntitle = t\nprot = 1\nquite_another = 1\n[door d]\ntitle = t\n[door toolong]\nx = 1\n",
                    ":3: prot: the key is unknown; did you mean port?\n"
                    ":4: quite_another: the key is unknown; doors(5) lists all keys\n"
                    ":6: title: the key belongs in [program]\n"
                    ":7: [door]: 'toolong' is too long\n");
        assert_told("[door a]\nopen = no\n[door b]\n[door c]\n", ":4: [door]: there are more than 2, allowed: 1 to 2\n"
                                                                 ": title: it is missing, allowed: up to 8 bytes\n");
        assert_told("[program]\ntitle = t\n", ": there is no [door NAME] section; at least one is needed\n");
}

/* One mistake makes one line: a refused value isn't a lacking one. */
static void test_relations(void **state)
{
        (void)state;
        assert_told(LEAST "[door e]\n", ":4: open: there is a draught\n");
        assert_told(LEAST "owner = me\n", ":4: owner: it needs key_file: the owner locks it\n");
        assert_told(LEAST "owner = me\nkey_file = k\n",
                    ":5: key_file: 'k' does not begin with '/', allowed: an absolute path\n");
        assert_told("[program]\ntitle = t\nloud = yes\n[door d]\n", ":3: loud: nobody hears it\n");
        assert_told("[program]\ntitle = t\nloud = yes\nfriends = foe\n[door d]\n",
                    ":4: friends: 'foe' is none, allowed: up to 3 names\n");
}

static void test_child_names_the_first(void **state)
{
        static const char text[] = "[program]\nport = x\nlimit = y\n";
        struct error err = {""};
        struct conf *conf = NULL;
        int fd = memfd_create("conf", 0);

        (void)state;
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        assert_int_equal(conf_from_fd(&conf, &schema, fd, &err), -EINVAL);
        assert_string_equal(err.text, "configuration:2: port: 'x' is not a number, allowed: 1 to 65535");
        assert_null(conf);
        (void)close(fd);
}

/* However many files there are too many, that is told once. */
static void test_too_many_files(void **state)
{
        char folder[] = "/tmp/postern-conf-XXXXXX", path[64], want[128];
        struct conf_errors errors = CONF_ERRORS;
        struct conf *conf = NULL;

        (void)state;
        assert_non_null(mkdtemp(folder));
        for (int i = 0; i < 67; i++) {
                (void)snprintf(path, sizeof path, "%s/%02d.conf", folder, i);
                FILE *f = fopen(path, "we");
                assert_non_null(f);
                assert_true(fputs(i ? "# nothing\n" : LEAST, f) >= 0);
                assert_int_equal(fclose(f), 0);
        }
        assert_int_equal(conf_load(&conf, &schema, folder, NULL, &errors), -EINVAL);
        (void)snprintf(want, sizeof want, "%s: there are more than 64 files, allowed: 64\n", folder);
        assert_string_equal(errors.lines.data, want);
        assert_int_equal(errors.n, 1);
        conf_errors_clear(&errors);
        for (int i = 0; i < 67; i++) {
                (void)snprintf(path, sizeof path, "%s/%02d.conf", folder, i);
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(folder), 0);
}

/* The sample is a file that the reader takes, and both texts have every key. */
static void test_documents(void **state)
{
        static const char *const intro[] = {"A sample.", NULL};
        char *sample = NULL, *man = NULL;
        size_t n;
        struct program *p;
        FILE *f = open_memstream(&sample, &n);

        (void)state;
        conf_write_sample(f, &schema, intro);
        assert_int_equal(fclose(f), 0);
        f = open_memstream(&man, &n);
        conf_write_man(f, &schema);
        assert_int_equal(fclose(f), 0);
        assert_null(load(sample, &p));
        assert_string_equal(p->title, "Doors");
        conf_free(&p->conf);
        assert_int_equal(strncmp(sample,
                                 "# A sample.\n\n[program]\n\n# A title.\n# up to 8 bytes; required\ntitle = Doors\n",
                                 60),
                         0);
        assert_non_null(strstr(sample, "\n# One for each door.\n[door front]\n"));
        assert_non_null(strstr(sample, "\n# red, green; default: green\n#colour = green\n"));
        assert_non_null(strstr(man, ".SS [door NAME]\n.TP\n.B owner\nWho owns it.\n.br\na name; default: nobody\n"));
        assert_non_null(strstr(man, "A folder\\-with\\-hyphens."));
        for (size_t s = 0; s < 2; s++)
                for (size_t i = 0; i < sections[s].n_keys; i++) {
                        char line[64];

                        (void)snprintf(line, sizeof(line), "%s =", sections[s].keys[i].name);
                        assert_non_null(strstr(sample, line));
                }
        free(sample);
        free(man);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),       cmocka_unit_test(test_every_type),
                cmocka_unit_test(test_values),         cmocka_unit_test(test_sections),
                cmocka_unit_test(test_relations),      cmocka_unit_test(test_child_names_the_first),
                cmocka_unit_test(test_too_many_files), cmocka_unit_test(test_documents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
