/*
 * Takes apart names as people type them.
 *
 * Invariant: a name that parses is a UPN or NETBIOS\name of a domain in the config, free of NUL, control
 * characters and every character that would make a DC read another form (DN, SID, SPN, canonical name). It
 * asks nobody.
 */
#include "validate/types/name.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unictype.h>
#include <uninorm.h>
#include <wctype.h>

#include "base/core/text.h"
#include "base/core/typed-name.h"

#define MISTYPED 2 /* letters that are wrong in a domain: two that changed places count as two */
/* Forbidden in sAMAccountName ([MS-SAMR] 3.1.1.6), and what DNs, SPNs and canonical names are made of. */
#define USER_FORBIDDEN "\"/\\[]:;|=,+*?<>@"
/* An explicit UPN may hold a few of them left of the @, but none that DNs or SPNs are made of. */
#define UPN_USER_FORBIDDEN "\"/\\[]:;|=,*?<>@"

static bool text_plain(const char *s, size_t n)
{
        if (!utf8_valid(s, n))
                return false;
        for (size_t i = 0; i < n;) {
                uint32_t cp = 0;
                size_t step = utf8_next(s + i, n - i, &cp);

                if (step == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029)
                        return false;
                i += step;
        }
        return true;
}

/* Letters of any script, digits, '-', '_' and '.', as in DNS names; no empty label. */
static bool suffix_plain(const char *s, size_t n)
{
        char before = '.';

        for (size_t i = 0; i < n; before = s[i++]) {
                bool word = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
                            (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_' || (s[i] & 0x80);

                if (!word && (s[i] != '.' || before == '.'))
                        return false;
        }
        return n > 0 && before != '.';
}

/* A user part that is blank at an end names somebody else than it seems to, and "S-1-..." would be looked up as a SID.
 */
static bool user_plain(const char *s, size_t n, const char *forbidden)
{
        for (size_t i = 0; i < n; i++)
                if (strchr(forbidden, s[i]))
                        return false;
        return n > 0 && s[0] != ' ' && s[n - 1] != ' ' && (n < 4 || strncasecmp(s, "S-1-", 4) != 0);
}

static bool same(const char *known, const char *s, size_t n)
{
        return known && typed_same(known, strlen(known), s, n);
}

static bool has_alternate(const struct domain_config *domain, const char *s, size_t n)
{
        for (size_t i = 0; i < SUFFIXES_MAX && domain->alternate_id_suffixes[i]; i++)
                if (same(domain->alternate_id_suffixes[i], s, n))
                        return true;
        return false;
}

static bool has_suffix(const struct domain_config *domain, const char *s, size_t n)
{
        if (same(domain->name, s, n) || same(domain->realm, s, n) || has_alternate(domain, s, n))
                return true;
        for (size_t i = 0; i < SUFFIXES_MAX && domain->suffixes[i]; i++)
                if (same(domain->suffixes[i], s, n))
                        return true;
        return false;
}

static size_t find_default(const struct validate_config *config)
{
        size_t i = 0;

        if (!config->default_domain)
                return config->n_domains;
        while (i < config->n_domains && strcasecmp(config->domains[i].name, config->default_domain) != 0)
                i++;
        return i;
}

const char *name_domain_meant(const struct name *name, const struct validate_config *config)
{
        char typed[sizeof(name->suffix)];
        struct text_guess guess = TEXT_GUESS(typed);
        size_t n = 0;

        if (name->form != NAME_UPN)
                return NULL;
        for (; name->suffix[n]; n++)
                typed[n] = (char)(name->suffix[n] >= 'A' && name->suffix[n] <= 'Z' ? name->suffix[n] | 0x20
                                                                                   : name->suffix[n]);
        typed[n] = '\0';
        for (size_t i = 0; i < config->n_domains; i++) {
                text_guess_consider(&guess, config->domains[i].name);
                for (size_t k = 0; k < SUFFIXES_MAX && config->domains[i].suffixes[k]; k++)
                        text_guess_consider(&guess, config->domains[i].suffixes[k]);
        }
        return guess.best && guess.distance <= MISTYPED ? guess.best : NULL;
}

static void copy(char *out, const char *s, size_t n)
{
        memcpy(out, s, n);
        out[n] = '\0';
}

static enum reason parse_upn(struct name *out, const struct validate_config *config, const char *s, size_t n,
                             const char *at)
{
        size_t user_n = (size_t)(at - s), suffix_n = n - user_n - 1;

        if (!user_plain(s, user_n, UPN_USER_FORBIDDEN) || !suffix_plain(at + 1, suffix_n))
                return REASON_BAD_NAME_FORM;
        out->form = NAME_UPN;
        while (out->domain < config->n_domains && !has_suffix(&config->domains[out->domain], at + 1, suffix_n))
                out->domain++;
        copy(out->user, s, user_n);
        copy(out->suffix, at + 1, suffix_n);
        if (out->domain < config->n_domains)
                out->alternate = has_alternate(&config->domains[out->domain], at + 1, suffix_n);
        return out->domain < config->n_domains ? REASON_OK : REASON_UNKNOWN_DOMAIN;
}

static enum reason parse_netbios(struct name *out, const struct validate_config *config, const char *s, size_t n,
                                 const char *slash)
{
        size_t domain_n = (size_t)(slash - s), user_n = n - domain_n - 1;

        if (!typed_domain(s, domain_n) || !user_plain(slash + 1, user_n, USER_FORBIDDEN))
                return REASON_BAD_NAME_FORM;
        out->form = NAME_NETBIOS;
        while (out->domain < config->n_domains && !same(config->domains[out->domain].netbios, s, domain_n))
                out->domain++;
        copy(out->user, slash + 1, user_n);
        copy(out->suffix, s, domain_n);
        return out->domain < config->n_domains ? REASON_OK : REASON_UNKNOWN_DOMAIN;
}

/* A bare name is user@default-domain, or DEFAULT\user where that has a NetBIOS name: it means the
 * sAMAccountName. */
static enum reason parse_bare(struct name *out, const struct validate_config *config, const char *s, size_t n)
{
        const struct domain_config *domain;
        size_t i = find_default(config);

        if (i >= config->n_domains || !user_plain(s, n, USER_FORBIDDEN))
                return REASON_BAD_NAME_FORM;
        domain = &config->domains[i];
        if (strlen(domain->name) > USERNAME_MAX)
                return REASON_BAD_NAME_FORM;
        out->form = domain->netbios ? NAME_NETBIOS : NAME_UPN;
        out->domain = i;
        copy(out->user, s, n);
        copy(out->suffix, domain->name, strlen(domain->name));
        return REASON_OK;
}

enum reason name_parse(struct name *ret_name, const struct validate_config *config, const char *bytes, size_t n)
{
        struct name name = {0};
        char text[USERNAME_MAX + 1], why[TYPED_FLAW_MAX];
        const char *at, *slash;
        enum reason reason;

        if (n > USERNAME_MAX || typed_flaw(bytes, n, why))
                return REASON_BAD_NAME_FORM;
        typed_trim(&bytes, &n);
        if (n == 0 || typed_compose(text, sizeof text, bytes, n) < 0)
                return REASON_BAD_NAME_FORM;
        bytes = text;
        n = strlen(text);
        slash = memchr(bytes, '\\', n);
        at = memrchr(bytes, '@', n);
        if (slash)
                reason = parse_netbios(&name, config, bytes, n, slash);
        else if (at)
                reason = parse_upn(&name, config, bytes, n, at);
        else
                reason = parse_bare(&name, config, bytes, n);
        if (reason == REASON_OK || reason == REASON_UNKNOWN_DOMAIN)
                *ret_name = name;
        return reason;
}

static const char user_fault[] = "no account can have: one of \" / \\ [ ] : ; | = , + * ? < > @, or the form of a SID";

static size_t count_of(const char *s, size_t n, char c)
{
        size_t count = 0;

        for (size_t i = 0; i < n; i++)
                count += s[i] == c;
        return count;
}

static const char *netbios_fault(const char *s, size_t n, const char *slash)
{
        const size_t domain_n = (size_t)(slash - s), user_n = n - domain_n - 1;

        if (count_of(s, n, '\\') > 1)
                return "it holds more than one backslash";
        if (user_n == 0)
                return "there is nothing behind the backslash";
        if (slash[1] == ' ' || (domain_n > 0 && slash[-1] == ' '))
                return "there is a blank beside the backslash";
        return typed_domain(s, domain_n) ? NULL : "what is before the backslash cannot be a domain's name";
}

static const char *upn_fault(const char *s, size_t n, const char *at)
{
        const size_t user_n = (size_t)(at - s);

        if (count_of(s, n, '@') > 1)
                return "it holds more than one @";
        if (user_n == 0 || user_n + 1 == n)
                return user_n ? "there is nothing behind the @" : "there is nothing before the @";
        if (at[1] == ' ' || at[-1] == ' ')
                return "there is a blank beside the @";
        return suffix_plain(at + 1, n - user_n - 1) ? NULL : "what is behind the @ cannot be a domain's name";
}

void name_fault(const struct validate_config *config, const char *bytes, size_t n, char out[NAME_FAULT_MAX])
{
        char flaw[TYPED_FLAW_MAX];
        const char *at, *slash, *why = NULL;

        if (n <= USERNAME_MAX && typed_flaw(bytes, n, flaw)) {
                (void)snprintf(out, NAME_FAULT_MAX, "the name holds %s", flaw);
                return;
        }
        typed_trim(&bytes, &n);
        slash = memchr(bytes, '\\', n);
        at = memrchr(bytes, '@', n);
        if (n == 0 || n > USERNAME_MAX)
                why = n ? "it is longer than a name can be" : "it is empty";
        else if (slash)
                why = netbios_fault(bytes, n, slash);
        else if (at)
                why = upn_fault(bytes, n, at);
        else if (find_default(config) >= config->n_domains)
                why = "it names no domain, and this connector's default_domain is not set";
        (void)snprintf(out, NAME_FAULT_MAX, "the name is of no form that is taken: %s%s", why ? "" : "it holds what ",
                       why ? why : user_fault);
}

int name_set_sam(struct name *name, const struct domain_config *domain, const char *sam)
{
        size_t n = strlen(sam);

        if (n > USERNAME_MAX || !text_plain(sam, n) || !user_plain(sam, n, USER_FORBIDDEN) ||
            strlen(domain->name) > USERNAME_MAX)
                return -EINVAL;
        name->form = domain->netbios ? NAME_NETBIOS : NAME_UPN;
        name->alternate = false;
        copy(name->user, sam, n);
        copy(name->suffix, domain->name, strlen(domain->name));
        return 0;
}

void name_bind_text(const struct name *name, const struct domain_config *domain, char *out, size_t cap)
{
        if (name->form == NAME_NETBIOS && domain->netbios)
                snprintf(out, cap, "%s\\%s", domain->netbios, name->user);
        else
                snprintf(out, cap, "%s@%s", name->user, name->form == NAME_UPN ? name->suffix : domain->name);
}

/* Lower case where the C library knows one; the locale of the process doesn't matter. */
static uint32_t fold(uint32_t cp)
{
        static locale_t unicode;

        if (cp < 0x80)
                return cp >= 'A' && cp <= 'Z' ? cp + 0x20 : cp;
        if (!unicode)
                unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        return unicode ? (uint32_t)towlower_l((wint_t)cp, unicode) : cp;
}

bool name_same(const char *a, const char *b)
{
        size_t a_n = strlen(a), b_n = strlen(b);

        while (a_n > 0 && b_n > 0) {
                uint32_t x = 0, y = 0;
                size_t a_step = utf8_next(a, a_n, &x), b_step = utf8_next(b, b_n, &y);

                if (a_step == 0 || b_step == 0 || fold(x) != fold(y))
                        return false;
                a += a_step;
                b += b_step;
                a_n -= a_step;
                b_n -= b_step;
        }
        return a_n == 0 && b_n == 0;
}

/* What AD's linguistic comparison takes for the same letter and Unicode does not take apart, U+00C0 to U+017F; a blank
 * stays itself. */
static const char base_letters[] = "aaaaaa ceeeeiiii nooooo ouuuuy  aaaaaa ceeeeiiii nooooo ouuuuy y"
                                   "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii  jjkk lllllll"
                                   "lllnnnnnnn  oooooo  rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
_Static_assert(sizeof base_letters - 1 == 0x180 - 0xc0, "one letter for each code point");

#define SHARP_S 0xdf
#define DECOMPOSITION_DEPTH 4 /* Unicode's deepest is 3 */

struct folded {
        char *out;
        size_t n, cap;
        bool full;
};

static void put_letter(struct folded *f, ucs4_t cp)
{
        char bytes[4];
        size_t len;

        if (cp >= 0xc0 && cp < 0x180 && base_letters[cp - 0xc0] != ' ')
                cp = (ucs4_t)base_letters[cp - 0xc0];
        len = utf8_put(bytes, fold(cp));
        f->full = f->full || f->n + len >= f->cap;
        if (f->full)
                return;
        memcpy(f->out + f->n, bytes, len);
        f->n += len;
}

/* One code point, taken apart as far as Unicode does (NFKD: width, ligatures, circles, accents). */
static void put_folded(struct folded *f, ucs4_t cp, unsigned depth)
{
        ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
        int tag, n;

        /* a mark above or below a letter, or nothing that can be seen: soft hyphen, joiners, byte order mark, fillers
         */
        if (uc_is_general_category(cp, UC_MARK) || uc_is_general_category(cp, UC_FORMAT) ||
            uc_is_property(cp, UC_PROPERTY_DEFAULT_IGNORABLE_CODE_POINT))
                return;
        cp = fold(cp);
        n = depth < DECOMPOSITION_DEPTH ? uc_decomposition(cp, &tag, parts) : -1;
        if (cp == SHARP_S) {
                put_letter(f, 's');
                put_letter(f, 's');
        } else if (n <= 0) {
                put_letter(f, cp);
        } else {
                for (int i = 0; i < n; i++)
                        put_folded(f, parts[i], depth + 1);
        }
}

size_t name_fold(char *out, size_t cap, const char *name)
{
        struct folded f = {.out = out, .cap = cap};
        size_t left = strlen(name);

        while (left > 0 && !f.full) {
                uint32_t cp = 0;
                size_t step = utf8_next(name, left, &cp);

                if (step == 0)
                        break;
                name += step;
                left -= step;
                put_folded(&f, cp, 0);
        }
        out[f.n] = '\0';
        return f.n;
}
