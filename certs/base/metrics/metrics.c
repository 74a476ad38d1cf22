/*
 * Writing Prometheus's text form: comments, samples, escaped labels.
 *
 * Pure. The first failure stays and stops the rest, so that callers look once, at the end.
 */
#include "base/metrics/metrics.h"

#include <stdarg.h>
#include <stdio.h>

const uint32_t metrics_bounds_ms[METRICS_BOUNDS] = {5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 15000};

void metrics_observe(struct metrics_times *t, uint64_t ms)
{
        size_t i = 0;

        while (i < METRICS_BOUNDS && ms > metrics_bounds_ms[i])
                i++;
        if (i < METRICS_BOUNDS)
                t->at_most[i]++;
        t->n++;
        t->sum_ms += ms;
}

static void note(struct metrics *m, int r)
{
        if (m->code == 0)
                m->code = r;
}

static void put_str(struct metrics *m, const char *s)
{
        if (m->code == 0)
                note(m, buffer_append_str(&m->text, s));
}

void metrics_begin(struct metrics *m, const char *name, enum metrics_kind kind, const char *help)
{
        static const char *const kinds[] = {
                [METRICS_GAUGE] = "gauge", [METRICS_COUNTER] = "counter", [METRICS_HISTOGRAM] = "histogram"};

        m->family = name;
        if (m->code == 0)
                note(m, buffer_printf(&m->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]));
}

/* {a="b",le="0.5"}, or nothing; le: NULL where there is none. A control character in a value, which the form has no
 * escape for, becomes a question mark. */
static void put_labels(struct metrics *m, va_list labels, const char *le)
{
        const char *name, *between = "{";

        while ((name = va_arg(labels, const char *))) {
                put_str(m, between);
                put_str(m, name);
                put_str(m, "=\"");
                for (const char *value = va_arg(labels, const char *); value && *value && m->code == 0; value++)
                        if (*value == '\\' || *value == '"')
                                note(m, buffer_printf(&m->text, "\\%c", *value));
                        else if (*value == '\n')
                                put_str(m, "\\n");
                        else
                                note(m, buffer_append_char(&m->text, (unsigned char)*value < ' ' ? '?' : *value));
                put_str(m, "\"");
                between = ",";
        }
        if (le && m->code == 0)
                note(m, buffer_printf(&m->text, "%sle=\"%s\"", between, le));
        put_str(m, le || *between == ',' ? "}" : "");
}

static void put_number(struct metrics *m, double value)
{
        const bool small = value > -9e15 && value < 9e15;
        const double rest = small ? value - (double)(int64_t)value : 0;

        if (m->code == 0) /* whole numbers, which nearly all are, without exponent */
                note(m, small && rest <= 0 && rest >= 0 ? buffer_printf(&m->text, " %.0f\n", value)
                                                        : buffer_printf(&m->text, " %.9g\n", value));
}

void metrics_put(struct metrics *m, double value, ...)
{
        va_list labels;

        va_start(labels, value);
        put_str(m, m->family);
        put_labels(m, labels, NULL);
        va_end(labels);
        put_number(m, value);
}

void metrics_put_times(struct metrics *m, const struct metrics_times *t, ...)
{
        uint64_t sum = 0;
        char le[32];
        va_list labels, again;

        va_start(labels, t);
        for (size_t i = 0; i <= METRICS_BOUNDS; i++) {
                sum += i < METRICS_BOUNDS ? t->at_most[i] : 0;
                (void)snprintf(le, sizeof(le), "%g", i < METRICS_BOUNDS ? metrics_bounds_ms[i] / 1000.0 : 0.0);
                put_str(m, m->family);
                put_str(m, "_bucket");
                va_copy(again, labels);
                put_labels(m, again, i < METRICS_BOUNDS ? le : "+Inf");
                va_end(again);
                put_number(m, (double)(i < METRICS_BOUNDS ? sum : t->n));
        }
        for (size_t i = 0; i < 2; i++) {
                put_str(m, m->family);
                put_str(m, i ? "_count" : "_sum");
                va_copy(again, labels);
                put_labels(m, again, NULL);
                va_end(again);
                put_number(m, i ? (double)t->n : (double)t->sum_ms / 1000.0);
        }
        va_end(labels);
}

void metrics_one(struct metrics *m, const char *name, enum metrics_kind kind, const char *help, double value)
{
        metrics_begin(m, name, kind, help);
        metrics_put(m, value, METRICS_END);
}
