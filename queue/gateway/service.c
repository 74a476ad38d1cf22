/*
 * Reading service.json. Who writes it is `postern service` (connector/person/service-store.c).
 */
#include "queue/gateway/service.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "certs/codec/json.h"

#define META_MAX 65536
#define META_VERSION 2

static void read_distrusted(struct service *s, struct json_reader *json)
{
        struct json_reader list;

        if (!json_read_list(&list, json, "distrusted", JSON_OPTIONAL, 0, SERVICE_DISTRUSTED_MAX))
                return;
        while (json_read_next(&list))
                json_read_str(&list, NULL, JSON_REQUIRED, s->distrusted[s->n_distrusted++], KID_LEN + 1);
}

static int complete(const struct service *s, struct error *err)
{
        const char *missing = !*s->tenant ? "--tenant T" : !*s->pin ? "--pin PIN" : !*s->relay ? "--relay URL" : NULL;

        missing = missing ? missing : !*s->secret_file ? "--secret-file FILE" : NULL;
        if (missing)
                return error_fail(err, -EINVAL,
                                  SERVICE_META ": it lacks what `postern service show %s` remembers in it", missing);
        if (*s->roster_source)
                return error_fail(err, -EINVAL,
                                  SERVICE_META
                                  ": it has a second source of the roster, which the gateway cannot ask; take it out "
                                  "with: postern service show --roster-source -");
        return 0;
}

int gateway_service_read(struct service *ret_service, int fd, struct error *err)
{
        _cleanup_(buffer_free) struct buffer text = BUFFER(META_MAX);
        struct service s = {0};
        struct json_reader json;
        int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd_read_all(&text, fd, err);

        if (r < 0)
                return error_prefix(err, r, SERVICE_META);
        json_read_begin(&json, text.data ? text.data : "", text.len, JSON_PLAIN, SERVICE_META, err);
        (void)json_read_int(&json, "v", 1, META_VERSION);
        json_read_str(&json, "id", JSON_REQUIRED, s.id, sizeof(s.id));
        json_read_str(&json, "relay", JSON_OPTIONAL, s.relay, sizeof(s.relay));
        json_read_str(&json, "tenant", JSON_OPTIONAL, s.tenant, sizeof(s.tenant));
        json_read_str(&json, "pin", JSON_OPTIONAL, s.pin, sizeof(s.pin));
        json_read_str(&json, "ca_file", JSON_OPTIONAL, s.ca_file, sizeof(s.ca_file));
        json_read_str(&json, "secret_file", JSON_OPTIONAL, s.secret_file, sizeof(s.secret_file));
        json_read_str(&json, "roster_source", JSON_OPTIONAL, s.roster_source, sizeof(s.roster_source));
        json_read_str(&json, "roster_hash", JSON_OPTIONAL, s.roster_hash, sizeof(s.roster_hash));
        if (json_read_has(&json, "roster_seq"))
                s.roster_seq = (uint64_t)json_read_int(&json, "roster_seq", 0, INT64_C(1) << 53);
        read_distrusted(&s, &json);
        r = json_read_end(&json, false);
        if (r == 0 && !id_valid(s.id, strlen(s.id)))
                r = error_fail(err, -EBADMSG, SERVICE_META ": id is none");
        r = r < 0 ? r : complete(&s, err);
        if (r == 0)
                *ret_service = s;
        return r;
}
