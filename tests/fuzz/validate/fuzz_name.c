/*
 * Names as typed, and the bind name made of them.
 *
 * Properties: a name that passes has one of the two forms, no control characters and nothing that makes a DN,
 * SID or SPN; the bind text is complete.
 */
#include <stdlib.h>
#include <string.h>

#include "base/core/text.h"
#include "validate/ldap/identity.h"
#include "base/core/typed-name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct domain_config domains[] = {
        {.name = "corp.example", .realm = "CORP.EXAMPLE", .netbios = "CORP", .suffixes = {"corp.com"}},
        {.name = "lab.example", .bind_template = "uid={name},ou=people"},
};
static const struct validate_config config = {.domains = domains, .n_domains = 2, .default_domain = "corp.example"};

static void require(bool holds)
{
        if (!holds)
                abort();
}

static size_t count(const char *s, char c)
{
        size_t n = 0;

        for (; *s; s++)
                n += *s == c;
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct name name;
        char bind[LDAP_BIND_NAME_MAX], why[TYPED_FLAW_MAX];
        bool flawed = typed_flaw((const char *)data, n, why);
        enum reason reason = name_parse(&name, &config, (const char *)data, n);

        require(reason == REASON_OK || reason == REASON_BAD_NAME_FORM || reason == REASON_UNKNOWN_DOMAIN);
        require(flawed == (why[0] != '\0') && utf8_valid(why, strlen(why)));
        if (reason != REASON_OK)
                return 0;
        require(!flawed);
        require(n > 0 && n <= USERNAME_MAX && name.domain < 2 && name.user[0] && name.suffix[0]);
        require(utf8_valid(name.user, strlen(name.user)) && !strpbrk(name.user, "\"/\\[]:;|=,*?<>@\n\r\t"));
        require(ldap_bind_name(bind, &domains[name.domain], &name) == 0);
        if (domains[name.domain].bind_template)
                require(strncmp(bind, "uid=", 4) == 0 && strstr(bind, ",ou=people"));
        else
                require(count(bind, '\\') + count(bind, '@') == 1 && !count(bind, '=') && !count(bind, ','));
        return 0;
}
