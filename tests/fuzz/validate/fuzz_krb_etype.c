/*
 * METHOD-DATA and ETYPE-INFO2, from which salt and cost of the key come.
 *
 * Properties: results point into the input, within the named maxima; an empty list is refused.
 */
#include <stdlib.h>

#include "validate/krb/der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check_inside(const uint8_t *p, size_t len, const uint8_t *data, size_t n)
{
        require(p ? p >= data && len <= n && p <= data + n - len : len == 0);
}

static void check_etypes(const uint8_t *data, size_t n)
{
        struct krb_etype_info info;

        if (krb_etype_info2_parse(&info, data, n) < 0)
                return;
        require(info.n > 0 && info.n <= KRB_ETYPES_MAX);
        for (size_t i = 0; i < info.n; i++) {
                check_inside(info.entries[i].salt, info.entries[i].salt_len, data, n);
                check_inside(info.entries[i].params, info.entries[i].params_len, data, n);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct krb_padata_list list;

        check_etypes(data, n);
        if (krb_padata_parse(&list, data, n) < 0)
                return 0;
        require(list.n <= KRB_PADATA_MAX);
        for (size_t i = 0; i < list.n; i++) {
                check_inside(list.items[i].bytes, list.items[i].n, data, n);
                check_etypes(list.items[i].bytes, list.items[i].n);
        }
        return 0;
}
