/*
 * A verdict of `postern check --user`, as data and as lines.
 */
#include <jansson.h>
#include <stdio.h>

#include "connector/cli/cli.h"
#include "connector/cli/view-verdict.h"
#include "connector/cli/view.h"
#include "validate/types/detail.h"

json_t *view_verdict_json(const struct outcome *out)
{
        const struct reason_info *info = reason_info(out->reason);
        const struct detail_info *detail = detail_info(detail_find(out->reason, out->context));

        return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:o*}", "verdict",
                         verdict_text(info->verdict), "class", verdict_class_text(info->class), "reason", info->id,
                         "password_proved", out->password_proved, "may_have_counted", counted_text(out->counted), "dc",
                         out->dc, "method", method_text(out->method), "user_id", out->user.id, "upn", out->user.upn,
                         "sam", out->user.sam, "context", out->context, "ms", (int)out->ms_total, "user_text",
                         reason_user_text(out->reason, out->password_proved), "helpdesk_text",
                         (detail ? detail->helpdesk_text : info->helpdesk_text), "remedy",
                         (detail ? detail->remedy : info->remedy), "attributes",
                         out->details.state == DETAILS_NONE ? NULL : view_pairs_json(&out->details.values));
}

static void print_field(const char *name, const char *value)
{
        if (!value[0])
                return;
        printf("%-17s ", name);
        cli_print_text(stdout, value);
        putchar('\n');
}

void view_verdict(const struct outcome *out)
{
        const struct reason_info *info = reason_info(out->reason);
        const struct detail_info *detail = detail_info(detail_find(out->reason, out->context));
        const char *name, *value;

        printf("\n%-17s %s (%s, %s)\n", "verdict", verdict_text(info->verdict), info->id,
               verdict_class_text(info->class));
        print_field("account", out->user.id);
        print_field("upn", out->user.upn);
        print_field("sam", out->user.sam);
        for (size_t at = 0; pairs_next(&out->details.values, &at, &name, &value);)
                print_field(name, value);
        if (out->details.state == DETAILS_TRUNCATED)
                print_field("attributes", "some do not fit or are no text, and are left out");
        print_field("raw", out->context);
        print_field("password proved", out->password_proved ? "yes" : "no");
        print_field("may have counted", counted_text(out->counted));
        print_field("the user reads", reason_user_text(out->reason, out->password_proved));
        print_field("what it means", (detail ? detail->helpdesk_text : info->helpdesk_text));
        print_field("what to do", (detail ? detail->remedy : info->remedy));
}
