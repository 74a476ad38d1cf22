/*
 * Drawing counts as SVG.
 *
 * Geometry is in whole units of a view box that the page stretches. A layer's colour is the class that its word is.
 */
#include "connector/web/chart.h"

#include <stdio.h>
#include <time.h>

#define WIDTH 900
#define HEIGHT 160

static void clock_text(long long wall, char out[16])
{
        const time_t t = (time_t)wall;
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(out, 16, "%H:%M", &tm) == 0)
                (void)snprintf(out, 16, "?");
}

static unsigned sum_of(const unsigned slot[CHART_LAYERS])
{
        unsigned sum = 0;

        for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                sum += slot[layer];
        return sum;
}

static void put_slot(struct html *h, const struct chart *c, size_t i, unsigned top)
{
        const long long left = (long long)(i * WIDTH / c->n), right = (long long)((i + 1) * WIDTH / c->n);
        long long y = HEIGHT;
        char when[16];

        if (sum_of(c->n_slots[i]) == 0)
                return;
        clock_text(c->since + (long long)i * c->step, when);
        html_put(h, "<g><title>{}", when);
        for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                html_put(h, ", {d} {}", (long long)c->n_slots[i][layer], c->layers[layer]);
        html_put(h, "</title>");
        for (size_t layer = 0; layer < CHART_LAYERS; layer++) {
                const unsigned n = c->n_slots[i][layer];
                const long long high = n ? ((long long)n * HEIGHT + top - 1) / top : 0; /* one of many still shows */

                y -= high;
                if (high)
                        html_put(h, "<rect class=\"{}\" x=\"{d}\" y=\"{d}\" width=\"{d}\" height=\"{d}\"/>",
                                 c->layers[layer], left, y < 0 ? 0 : y, right - left > 1 ? right - left - 1 : 1, high);
        }
        html_put(h, "</g>");
}

static void put_table(struct html *h, const struct chart *c)
{
        char when[16];

        html_put(h, "<details><summary>As a table</summary><table><thead><tr><th scope=\"col\">From");
        for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                html_put(h, "<th scope=\"col\">{}", c->layers[layer]);
        html_put(h, "</tr></thead><tbody>");
        for (size_t i = 0; i < c->n; i++) {
                if (sum_of(c->n_slots[i]) == 0)
                        continue;
                clock_text(c->since + (long long)i * c->step, when);
                html_put(h, "<tr><th scope=\"row\">{}", when);
                for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                        html_put(h, "<td>{d}", (long long)c->n_slots[i][layer]);
                html_put(h, "</tr>");
        }
        html_put(h, "</tbody></table></details>");
}

void chart_bars(struct html *h, const struct chart *c)
{
        unsigned long long sums[CHART_LAYERS] = {0};
        unsigned top = 1;
        char from[16], to[16];

        for (size_t i = 0; i < c->n; i++) {
                const unsigned sum = sum_of(c->n_slots[i]);
                top = sum > top ? sum : top;
                for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                        sums[layer] += c->n_slots[i][layer];
        }
        clock_text(c->since, from);
        clock_text(c->since + (long long)c->n * c->step, to);
        html_put(h, "<figure><figcaption>{}<ul class=\"legend\">", c->title);
        for (size_t layer = 0; layer < CHART_LAYERS; layer++)
                html_put(h, "<li class=\"{}\">{d} {}", c->layers[layer], (long long)sums[layer], c->layers[layer]);
        html_put(h,
                 "</ul></figcaption><svg role=\"img\" viewBox=\"0 0 {d} {d}\" preserveAspectRatio=\"none\">"
                 "<title>{}: at most {d} in one step of {d} min</title>",
                 (long long)WIDTH, (long long)HEIGHT, c->title, (long long)top, c->step / 60);
        for (size_t i = 0; i < c->n; i++)
                put_slot(h, c, i, top);
        html_put(h, "</svg><p class=\"axis\"><span>{}</span><span>highest: {d}</span><span>{}</span></p>", from,
                 (long long)top, to);
        put_table(h, c);
        html_put(h, "</figure>");
}

void chart_share(struct html *h, unsigned long long part, unsigned long long whole)
{
        html_put(h,
                 "<svg class=\"share\" aria-hidden=\"true\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">"
                 "<rect width=\"{d}\" height=\"10\"/></svg>",
                 (long long)(whole ? (part * 100 + whole - 1) / whole : 0));
}
