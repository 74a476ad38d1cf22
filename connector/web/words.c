/*
 * The page of words: every reason, problem, decline and finding, or those of one id, under an address that stays the
 * same.
 *
 * What it says is connector/findings/glossary.c's, so that the command, the manual and this agree.
 */
#include "connector/findings/facts.h"
#include "connector/findings/glossary.h"
#include "connector/web/page.h"

static void put_word(struct html *h, const json_t *e)
{
        static const struct {
                const char *key, *label;
        } rows[] = {{"meaning", "What it means"},
                    {"user", "The user reads"},
                    {"user_unproved", "Unless the password was proved"},
                    {"remedy", "To do"},
                    {"verdict", "Verdict"},
                    {"class", "Class"},
                    {"level", "Level"}};

        html_put(h, "<article class=\"story\" id=\"{}-{}\"><h2>{} ({})</h2><dl>", fact_text(e, "kind"),
                 fact_text(e, "id"), fact_text(e, "id"), fact_text(e, "kind"));
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (fact_text(e, rows[i].key)[0])
                        html_put(h, "<dt>{}<dd>{}", rows[i].label, fact_text(e, rows[i].key));
        html_put(h, "</dl></article>");
}

void web_page_words(struct html *h, const char *id)
{
        json_auto_t *list = id[0] ? glossary_find(id) : glossary_all();
        json_t *e;
        size_t i;

        if (json_array_size(list) == 0)
                html_put(h, "<p>There is no such word. <a href=\"/words\">All of them</a></p>");
        if (id[0]) {
                json_array_foreach (list, i, e)
                        put_word(h, e);
                return;
        }
        html_put(h, "<p>What a sign-in can end with, what the relay and a connector answer instead, and what is found "
                    "wrong "
                    "with a connector.</p><table><thead><tr><th scope=\"col\">Word<th scope=\"col\">Is a<th "
                    "scope=\"col\">Meaning</thead><tbody>");
        json_array_foreach (list, i, e)
                html_put(h, "<tr><th scope=\"row\"><a href=\"/words/{}\">{}</a><td>{}<td>{}</tr>", fact_text(e, "id"),
                         fact_text(e, "id"), fact_text(e, "kind"), fact_text(e, "meaning"));
        html_put(h, "</tbody></table>");
}
