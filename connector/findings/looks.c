/*
 * Which hop made sign-ins slow, beside the same time of the day before; and what may be an attack. Pure.
 */
#include "connector/findings/looks.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "connector/findings/facts.h"

#define TEXT_MAX 700

static void add(json_t *list, const char *text)
{
        (void)json_array_append_new(list, json_string(text));
}

static long long number(const json_t *stretch, const char *hop, const char *key)
{
        return fact_number(json_object_get(stretch, hop), key, 0);
}

/* The hop whose 95 of 100 grew most; where there was nothing the day before, the longest. */
static const char *worst_hop(const json_t *now, const json_t *before)
{
        static const char *const hops[] = {"opened", "dc", "rest"};
        long long most = -1;
        const char *worst = hops[0];

        for (size_t i = 0; i < 3; i++) {
                const long long grown = number(now, hops[i], "p95") - number(before, hops[i], "p95");

                if (grown > most) {
                        most = grown;
                        worst = hops[i];
                }
        }
        return worst;
}

static const json_t *worst_dc(const json_t *dcs)
{
        const json_t *dc, *worst = NULL;
        long long most = 0;
        size_t i;

        json_array_foreach ((json_t *)(uintptr_t)dcs, i, dc) {
                const long long grown = number(dc, "now", "p95") - number(dc, "before", "p95");

                if (number(dc, "now", "n") && grown > most) {
                        most = grown;
                        worst = dc;
                }
        }
        return worst;
}

static void add_hop(json_t *list, const json_t *slow, const char *hop)
{
        const json_t *now = json_object_get(slow, "now"), *before = json_object_get(slow, "before"),
                     *dc = worst_dc(json_object_get(slow, "dcs"));
        const bool of_dc = strcmp(hop, "dc") == 0 && dc;
        const bool has_before = (of_dc ? number(dc, "before", "n") : fact_number(before, "n", 0)) > 0;
        char text[TEXT_MAX], then[80] = "";

        if (has_before)
                (void)snprintf(then, sizeof(then), " (the day before: %lld ms)",
                               of_dc ? number(dc, "before", "p95") : number(before, hop, "p95"));
        if (of_dc)
                (void)snprintf(
                        text, sizeof(text),
                        "The domain controllers took it: %.256s (%s) answered 95 of 100 within %lld ms%s. postern "
                        "check --dc asks it; look at its load and the network between",
                        fact_text(dc, "dc"), fact_text(dc, "method"), number(dc, "now", "p95"), then);
        else if (strcmp(hop, "opened") == 0)
                (void)snprintf(
                        text, sizeof(text),
                        "The wait before a request was opened took it, 95 of 100 within %lld ms%s: the connector's "
                        "host was busy. Look at its load, or add a connector",
                        number(now, hop, "p95"), then);
        else if (strcmp(hop, "rest") == 0)
                (void)snprintf(text, sizeof(text),
                               "The connector itself took it, 95 of 100 within %lld ms%s: waiting for a free domain "
                               "controller, connecting again, or a slow identity key. postern status tells of these",
                               number(now, hop, "p95"), then);
        else
                (void)snprintf(text, sizeof(text), "The domain controllers took it, 95 of 100 within %lld ms%s",
                               number(now, hop, "p95"), then);
        add(list, text);
}

json_t *looks_slow(const json_t *slow)
{
        const json_t *now = json_object_get(slow, "now"), *before = json_object_get(slow, "before");
        const long long p95 = number(now, "total", "p95"), then = number(before, "total", "p95"),
                        n = fact_number(now, "n", 0), n_then = fact_number(before, "n", 0);
        json_t *list = json_array();
        char text[TEXT_MAX];

        if (!n) {
                add(list, "No sign-in was decided here in that time");
                return list;
        }
        if (n_then)
                (void)snprintf(text, sizeof(text),
                               "%lld sign-ins: half within %lld ms, 95 of 100 within %lld ms. At the same time the day "
                               "before %lld: %lld and %lld ms",
                               n, number(now, "total", "p50"), p95, n_then, number(before, "total", "p50"), then);
        else
                (void)snprintf(text, sizeof(text),
                               "%lld sign-ins: half within %lld ms, 95 of 100 within %lld ms. Of the same time the day "
                               "before there is nothing to compare with",
                               n, number(now, "total", "p50"), p95);
        add(list, text);
        if (n_then && p95 <= then + then / 4 + 20)
                add(list, "That is no slower than the day before");
        else
                add_hop(list, slow, worst_hop(now, before));
        return list;
}

json_t *looks_unusual(const json_t *unusual)
{
        json_t *list = json_array(), *row;
        char text[TEXT_MAX], first[32], last[32];
        size_t i;

        json_array_foreach (json_object_get(unusual, "many_names"), i, row) {
                fact_time(fact_number(row, "first", 0), first, sizeof(first));
                fact_time(fact_number(row, "last", 0), last, sizeof(last));
                (void)snprintf(
                        text, sizeof(text),
                        "From %.64s%s%.100s came %lld failures with %lld names, from %s to %s: somebody tries "
                        "passwords, or many people are behind one address. Ask who runs it, and have the sign-in "
                        "service shut it out",
                        fact_text(row, "ip"), fact_text(row, "app")[0] ? " by " : "", fact_text(row, "app"),
                        fact_number(row, "n", 0), fact_number(row, "names", 0), first, last);
                add(list, text);
        }
        json_array_foreach (json_object_get(unusual, "after_failures"), i, row) {
                fact_time(fact_number(row, "wall", 0), first, sizeof(first));
                (void)snprintf(
                        text, sizeof(text),
                        "%.200s was accepted at %s from %.64s, an address new for this name, after %lld failures "
                        "within the hour (postern explain %.64s). Ask the user whether that was them; if not, reset "
                        "the password and end their sessions",
                        fact_text(row, "user"), first, fact_text(row, "ip"), fact_number(row, "failures", 0),
                        fact_text(row, "id"));
                add(list, text);
        }
        return list;
}
