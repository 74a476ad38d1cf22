/*
 * How one fault is put into an otherwise right object. The faults themselves are the tables of
 * negative-request.c and negative-other.c.
 *
 * Invariant: layers outside the fault are made anew (signed, padded, sealed), so nothing but the fault can be
 * what a reader refuses.
 */
#include "tests/vectors/negative.h"

#include <string.h>

#include "tests/vectors/world.h"

/* Expands @kid:NAME@, @x:NAME@ and @y:NAME@. */
static char *expand(const char *text)
{
        const char *at;

        while ((at = strstr(text, "@kid:")) || (at = strstr(text, "@x:")) || (at = strstr(text, "@y:"))) {
                const char *name = strchr(at, ':') + 1, *end = strchr(name, '@');
                const struct key *key;

                if (!end)
                        maker_stop("a token without its end");
                key = fixed_key(pool_text("%.*s", (int)(end - name), name));
                text = pool_text("%.*s%s%s", (int)(at - text), text,
                                 at[1] == 'k'   ? key_kid(key)
                                 : at[1] == 'x' ? key_x(key)
                                                : key_y(key),
                                 end + 1);
        }
        return pool_text("%s", text);
}

/* The text of a layer, with the fault if it belongs there. */
static char *layer(const struct negative *n, enum negative_layer which, const char *text)
{
        if (n->layer != which)
                return pool_text("%s", text);
        if (n->special)
                return n->special(text);
        if (n->path)
                return json_with(text, n->path, n->to ? expand(n->to) : NULL);
        return text_replaced(text, expand(n->from), expand(n->to));
}

static char *signed_text(const struct negative *n, const char *signer, const char *header, const char *claims)
{
        char *jws = make_jws(fixed_key(n->signer ? n->signer : signer), layer(n, LAYER_HEADER, header),
                             layer(n, LAYER_CLAIMS, claims));

        return layer(n, LAYER_JWS, jws);
}

char *negative_roster(const struct negative *n)
{
        return signed_text(n, "tenant", world()->roster_header, world()->roster_payload);
}

char *negative_statement(const struct negative *n)
{
        const struct world_statement *s = n->signing ? &world()->signing : &world()->statements[0];

        return signed_text(n, "berlin-1", s->header, s->payload);
}

static size_t class_of(const char *jws)
{
        return strlen(jws) > PADDED_SMALL ? PADDED_LARGE : PADDED_SMALL;
}

char *negative_request(const struct negative *n)
{
        const struct world *w = world();
        char *jws = signed_text(n, "portal", w->request_header, w->request_claims),
             *plain = layer(n, LAYER_PLAIN, make_padded(jws, class_of(jws)));
        struct make_sealed in = {
                .protected = layer(n, LAYER_PROTECTED, w->protected),
                .salt = "request",
                .plain = plain,
                .plain_len = strlen(plain),
                .n = n->alone ? 1 : 2,
                .to = {{.line = layer(n, LAYER_LINE, w->lines[0])}, {.line = w->lines[1]}},
        };

        return layer(n, LAYER_SEALED, make_sealed(&in));
}

static char *verdict_jws(const struct negative *n)
{
        const struct world *w = world();

        return n->signing ? signed_text(n, SIGNING_KEY, w->signing_header, w->signing_verdict.claims)
                          : signed_text(n, "berlin-1", w->verdict_header, w->verdicts[0].claims);
}

size_t negative_verdict_class(const struct negative *n)
{
        return class_of(verdict_jws(n));
}

char *negative_verdict(const struct negative *n)
{
        const struct world *w = world();
        char *jws = verdict_jws(n),
             *plain = layer(n, LAYER_PLAIN, make_padded(jws, n->large ? PADDED_LARGE : class_of(jws)));
        const char *header = layer(n, LAYER_PROTECTED, w->verdict_jwe_header);

        return layer(n, LAYER_SEALED, make_jwe_dir(w->rk, header, "verdict accepted", plain, strlen(plain)));
}

const char *negative_layer_text(enum negative_layer which)
{
        switch (which) {
        case LAYER_HEADER:
                return "JWS header";
        case LAYER_CLAIMS:
                return "claims";
        case LAYER_JWS:
                return "JWS";
        case LAYER_PLAIN:
                return "padded plaintext";
        case LAYER_PROTECTED:
                return "JWE protected header";
        case LAYER_LINE:
                return "first recipient's line";
        case LAYER_SEALED:
                return "sealed text";
        case LAYER_CONTEXT:
                break;
        }
        return "context";
}
