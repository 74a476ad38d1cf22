/*
 * The table of subcommands: what `postern --help` lists and `postern WORD` runs.
 */
#include "connector/cli/cli.h"

const struct cli_command cli_commands[] = {
        {"tenant", "tenant key and roster, on the admin's machine", cmd_tenant},
        {"service", "the key of a sign-in service, beside it", cmd_service},
        {"person", "the key of a person of the helpdesk", cmd_person},
        {"enroll", "enrol this host as a connector", cmd_enroll},
        {"sign-in", "sign a user in through the relay", cmd_sign_in},
        {"status", "what this connector is doing, part by part", cmd_status},
        {"log", "the latest sign-ins, one line each", cmd_log},
        {"explain", "what happened to one sign-in, and what to do", cmd_explain},
        {"account", "what the directory says of an account", cmd_account},
        {"report", "usage, failures and slow controllers of 30 days", cmd_report},
        {"words", "what a reason, a problem or a finding means", cmd_words},
        {"metrics", "the numbers that Prometheus reads", cmd_metrics},
        {"page", "a link to the helpdesk's page of this host", cmd_page},
        {"check", "each hop to the domain controllers; one user's password", cmd_check},
        {"privacy", "all that the ledger holds of a user: show or erase it", cmd_privacy},
        {"guard", "an account that the lockout guard stops: show, let go", cmd_guard},
        {"support-bundle", "an archive for who helps, without secrets or names", cmd_support_bundle},
        {"domain", "the SID that this connector holds on to", cmd_domain},
        {"check-config", "report every error in the configuration", cmd_check_config},
        {NULL, NULL, NULL},
};
