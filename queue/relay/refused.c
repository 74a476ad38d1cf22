/*
 * Sign-ins that got no further than the relay's door: refused before a connector was looked for (a wrong secret, the
 * rate, a form), or of services that asked for keys and sent nothing after. Each leaves a row like any other's, under
 * the id that the service made, so that `postern tenant trace` has no blank for it.
 *
 * Invariant: who is refused cannot fill the disk. A tenant's rows come at a rate, of its own secrets and of strangers
 * apart, so that strangers take nobody else's room; past it they are counted, and whoever looks in vain hears of that.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/core/text.h"
#include "queue/relay/relay.h"

/* In 30 days at most 260 000 refused of a tenant's own, and 43 000 of strangers. Most rows of keys are soon replaced.
 */
static const struct {
        double burst, per_ms;
} rates[] = {[REFUSED_OWN] = {500, 1.0 / 10000},
             [REFUSED_STRANGER] = {100, 1.0 / 60000},
             [REFUSED_KEYS] = {500, 1.0 / 1000},
             [REFUSED_ENROLMENT] = {100, 1.0 / 60000}};

bool refused_has_room(struct relay *relay, struct tenant *t, enum refused_who who)
{
        struct tenant_refused *of = &t->refused[who];
        const uint64_t now = loop_now(relay->loop);

        of->tokens = of->at ? of->tokens + (double)(now - of->at) * rates[who].per_ms : rates[who].burst;
        of->at = now ? now : 1;
        if (of->tokens > rates[who].burst)
                of->tokens = rates[who].burst;
        if (of->tokens >= 1) {
                of->tokens -= 1;
                return true;
        }
        if (of->left_out++ == 0)
                of->left_out_since = loop_wall(relay->loop);
        return false;
}

static void note(struct relay *relay, struct tenant *t, enum refused_who who, const struct store_sign_in *row)
{
        if (!id_valid(row->id, strlen(row->id)) || !refused_has_room(relay, t, who))
                return;
        journal_add(relay->journal, t->name, row);
        if (who != REFUSED_KEYS)
                relay_events_sign_in(relay->events, t->name, row, NULL);
}

static struct store_sign_in row_of(const struct relay *relay, const char *id, const char *state)
{
        struct store_sign_in row = {.at = loop_wall(relay->loop), .handed = -1, .received = -1, .answered = 0};

        (void)snprintf(row.id, sizeof(row.id), "%s", id ? id : "");
        (void)snprintf(row.state, sizeof(row.state), "%s", state);
        return row;
}

void refused_note(struct relay *relay, struct tenant *t, enum refused_who who, const char *id, enum problem_type type,
                  const char *detail)
{
        struct store_sign_in row = row_of(relay, id, STATE_REFUSED);

        (void)snprintf(row.problem, sizeof(row.problem), "%s", problem_word(type));
        if (detail)
                wire_text_cut(row.reasons, sizeof(row.reasons), detail, strlen(detail));
        note(relay, t, who, &row);
}

void refused_note_keys(struct relay *relay, struct tenant *t, const char *id, size_t n_statements)
{
        struct store_sign_in row = row_of(relay, id, STATE_KEYS);

        (void)snprintf(row.reasons, sizeof(row.reasons), "keys of %zu connector%s were there", n_statements,
                       n_statements == 1 ? "" : "s");
        if (n_statements == 0)
                (void)snprintf(row.problem, sizeof(row.problem), "%s", problem_word(PROBLEM_NO_CONNECTOR));
        note(relay, t, REFUSED_KEYS, &row);
}

bool refused_is_open(const struct store_sign_in *row)
{
        return strcmp(row->state, STATE_REFUSED) == 0 || strcmp(row->state, STATE_KEYS) == 0;
}

static void append_date(struct buffer *out, const char *before, int64_t wall)
{
        const time_t when = (time_t)wall;
        struct tm tm;
        char text[32] = "?";

        if (gmtime_r(&when, &tm))
                (void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
        (void)buffer_printf(out, "%s%s", before, text);
}

void refused_tell_absent(const struct relay *relay, const struct tenant *t, struct buffer *out)
{
        const int64_t oldest = loop_wall(relay->loop) - STORE_SIGN_IN_LIFE;
        uint64_t left_out = 0;
        int64_t since = INT64_MAX;

        append_date(out, "no sign-in of this id has come here since ", t->since > oldest ? t->since : oldest);
        for (size_t i = 0; i <= REFUSED_KEYS; i++) {
                left_out += t->refused[i].left_out;
                if (t->refused[i].left_out && t->refused[i].left_out_since < since)
                        since = t->refused[i].left_out_since;
        }
        if (!left_out)
                return;
        append_date(out, ", or it was one of those that were refused and not kept, since there were too many: ", since);
        (void)buffer_printf(out, " and later, %llu", (unsigned long long)left_out);
}
