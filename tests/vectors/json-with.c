/*
 * Changes one value in a JSON text and leaves every other byte as it was, so that a vector differs from the right
 * object in that one place. It trusts its input: the texts of world.c.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/vectors/negative.h"
#include "tests/vectors/maker.h"

/* Behind the string, number, word, array or object that begins at p. */
static const char *behind(const char *p)
{
        int depth = 0;

        do {
                if (*p == '"')
                        for (p++; *p != '"'; p++)
                                p += *p == '\\';
                else if (*p == '{' || *p == '[')
                        depth++;
                else if (*p == '}' || *p == ']')
                        depth--;
                else if (!*p)
                        maker_stop("brackets that do not close");
                p++;
        } while (depth > 0 || !strchr(",]}", *p));
        return p;
}

struct place {
        const char *from, *begin, *end; /* the entry (with its name, in an object), its value, the end of both */
};

/* The entry of a container that begins at p; begin is NULL where there is none, and from then its closing bracket. */
static struct place entry(const char *p, const char *name, size_t n)
{
        const bool object = *p == '{';
        long left = object ? 0 : strtol(name, NULL, 10);

        for (p++; *p != '}' && *p != ']';) {
                struct place at = {.from = p, .begin = p};

                if (object)
                        at.begin = strchr(p + 1, '"') + 2;
                at.end = behind(at.begin);
                if (object ? (size_t)(at.begin - p) == n + 3 && strncmp(p + 1, name, n) == 0 : left-- == 0)
                        return at;
                p = at.end + (*at.end == ',');
        }
        return (struct place){.from = p};
}

static char *without(const char *text, struct place at)
{
        const char *end = at.end;

        if (*end == ',')
                end++;
        else if (at.from[-1] == ',')
                at.from--;
        return pool_text("%.*s%s", (int)(at.from - text), text, end);
}

char *json_with(const char *text, const char *path, const char *to)
{
        struct place at = {.begin = text};

        for (;;) {
                const size_t n = strcspn(path, "/");

                at = entry(at.begin, path, n);
                if (!path[n] || !at.begin)
                        break;
                path += n + 1;
        }
        if (at.begin && to)
                return pool_text("%.*s%s%s", (int)(at.begin - text), text, to, at.end);
        if (at.begin)
                return without(text, at);
        if (!to || strchr(path, '/'))
                maker_stop("a path that leads nowhere");
        const char *comma = strchr("{[", at.from[-1]) ? "" : ",";
        if (*at.from == ']')
                return pool_text("%.*s%s%s%s", (int)(at.from - text), text, comma, to, at.from);
        return pool_text("%.*s%s\"%s\":%s%s", (int)(at.from - text), text, comma, path, to, at.from);
}
