/*
 * The table of findings and how one becomes data.
 *
 * Invariant: a code stands in one row, and no rule names a code without a row (finding_add asserts it). What a row says
 * is true of every finding of the code; what is true of one alone is its cause.
 */
#include "connector/findings/finding.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "connector/findings/facts.h"

#define JOURNAL "See journalctl -u postern"
#define ADMIN "On the tenant admin's machine run: "
#define CLOCK "Set the clock (chronyd, systemd-timesyncd)"

/* clang-format off */
static const struct finding_info rows[] = {
        /* posternd itself */
        {"not_running", FINDING_STOPS, "posternd does not run, so no sign-in comes here", "Start it: systemctl start postern"},
        {"start_refused", FINDING_STOPS, "posternd could not start as things are", "Correct that, then: systemctl start postern"},
        {"config_invalid", FINDING_STOPS, "the configuration has an error, with which posternd cannot start", "Correct the line, then: systemctl start postern"},
        {"process_down", FINDING_STOPS, "a process of posternd is not at work", "It is started again by itself; if it stays down, see journalctl -u postern"},
        {"process_silent", FINDING_STOPS, "a process of posternd says nothing of itself", JOURNAL},
        {"process_loops", FINDING_LIMITS, "a process of posternd ends again and again; each end loses the sign-ins that it had in hand", JOURNAL},
        {"landlock_forbidden", FINDING_WARNS, "a filter around posternd forbids Landlock, so a process is confined less than it could be", "Correct the unit or the container"},
        {"reload_refused", FINDING_WARNS, "a changed configuration was refused, so the one before is in use", "Correct that, then: systemctl reload postern"},
        {"keytab_refused", FINDING_WARNS, "the keytab on the disk cannot be used, so the keys read before are in use", "Correct the file; it is taken at once"},
        {"ledger_memory_only", FINDING_WARNS, "records of sign-ins cannot be written to the disk and live in memory", "Make room, or correct the rights of state_dir/ledger"},
        {"records_lost", FINDING_WARNS, "records of sign-ins were lost", "Look at what the ledger says of its disk"},
        {"records_not_sent", FINDING_WARNS, "records for whoever gathers them (a SIEM) do not go out; sign-ins go on, and the ledger has them", "Correct that; what waits is sent then (postern-events(7))"},
        {"sent_records_lost", FINDING_WARNS, "records for whoever gathers them (a SIEM) were lost within a day; the ledger has them", "A record of kind gap stands where they are missing (postern-events(7)); postern log --json shows them"},
        /* the way to the relay */
        {"link_down", FINDING_STOPS, "there is no link to the relay, so no sign-in comes here", "Check the way to the relay: postern check"},
        {"link_unheard", FINDING_STOPS, "the link stands, but the relay takes no report, so it gives no work", "Ask the relay's operator; postern check tests the way"},
        {"relay_node_down", FINDING_WARNS, "one of the relay's nodes has no link; sign-ins come by the others", "Check the way to it: postern check"},
        {"quarantined", FINDING_STOPS, "the relay saw this connector's identity on two machines and gives neither any work", "End the copy, then on the tenant admin's machine run: postern tenant release; where somebody else may have copied the key: postern tenant remove, and enrol anew"},
        {"statement_refused", FINDING_STOPS, "the relay takes no key statement of this connector, so no service can seal a sign-in to it", "See the cause; it is said again each minute, and ends by itself once the relay takes it"},
        {"node_refuses_statement", FINDING_WARNS, "one of the relay's nodes takes no key statement of this connector; sign-ins come by the others", "See the cause; it is said again each minute"},
        {"certificate_expired", FINDING_STOPS, "the transport certificate has expired, so the relay refuses the link", "Get a token (postern-relay token TENANT NAME), run postern enroll --again --token-file FILE, then restart posternd; no new approval is needed"},
        {"certificate_ends", FINDING_WARNS, "the transport certificate ends soon and could not be renewed", "Remove the cause; renewal is tried again by itself. If the certificate ends first: postern enroll --again --token-file FILE, with a new token"},
        {"clock_wrong", FINDING_STOPS, "this host's clock is wrong, so no sign-in comes here", CLOCK},
        {"clock_off", FINDING_WARNS, "this host's clock and the relay's differ", CLOCK},
        {"clock_of_relay", FINDING_WARNS, "the relay's clock is wrong; sign-ins go on", "Tell the relay's operator"},
        {"clock_of_service", FINDING_LIMITS, "a sign-in service's clock is wrong, so its requests may be declined", "Tell the operator of the sign-in service"},
        /* the tenant */
        {"not_approved", FINDING_STOPS, "the roster does not hold this connector, so no sign-in comes here", ADMIN "postern tenant approve NAME FINGERPRINT"},
        {"removed", FINDING_STOPS, "this connector was removed from the roster, and its key is not taken again", "Stop posternd, remove the files in its state_dir, run postern enroll with a new token, and have the new fingerprint approved"},
        {"no_service", FINDING_STOPS, "the roster names no sign-in service, so nobody can sign in", ADMIN "postern tenant approve-service FILE FINGERPRINT"},
        {"roster_not_yet", FINDING_STOPS, "the roster begins in the future, so no sign-in is accepted", CLOCK},
        {"roster_expired", FINDING_STOPS, "the roster has expired, so no sign-in is accepted", ADMIN "postern tenant roster sign"},
        {"roster_ends", FINDING_WARNS, "the roster ends soon; after that no sign-in is accepted", ADMIN "postern tenant roster sign"},
        {"domain_not_ours", FINDING_LIMITS, "the roster does not let this connector speak for a domain that it is configured for", ADMIN "postern tenant connector-domains, or leave the domain out here"},
        /* domains and their controllers */
        {"no_dc_known", FINDING_LIMITS, "no domain controller of a domain is known, so its users cannot sign in here", "Check the connector's DNS servers and the domain's SRV records, or name the domain controllers by dcs"},
        {"no_dc_usable", FINDING_LIMITS, "no domain controller of a domain can be used, so its users cannot sign in here", "See what is said of each domain controller"},
        {"no_dc_yet", FINDING_LIMITS, "no domain controller of a domain has answered yet, so its users cannot sign in here", "Wait some seconds; postern check tests each domain controller"},
        {"dns_failing", FINDING_WARNS, "the domain's SRV records cannot be read now; the domain controllers known from before are used", "Check the connector's DNS servers and the domain's SRV records"},
        {"dc_dead", FINDING_LIMITS, "a domain controller cannot be used; sign-ins go to the others", "See the cause"},
        {"dc_sick", FINDING_LIMITS, "a domain controller answers, but fails sign-ins; they go to the others", "See the cause"},
        {"dc_failed", FINDING_WARNS, "a domain controller failed lately and is used on", "See the cause"},
        {"dc_silent", FINDING_WARNS, "a domain controller was asked and has been silent for longer than an answer takes", "Wait some seconds: it answers, or is found to be dead"},
        {"dc_unknown", FINDING_WARNS, "a domain controller has not answered yet", "Wait some seconds; postern check tests it"},
        {"sid_differs", FINDING_LIMITS, "a domain controller named another SID than the domain's, so its accounts are refused", "Find out which SID is right"},
        {"sid_claimed_twice", FINDING_LIMITS, "two domains claim one SID, so nobody of them is accepted", "Set domain_sid of both"},
        /* sign-ins */
        {"sign_ins_unchecked", FINDING_LIMITS, "sign-ins of the last minutes could not be checked, for one common cause", "See postern explain of the one that is named"},
        {"sign_ins_declined", FINDING_LIMITS, "sign-ins of the last minutes were not taken by this connector, for one common cause", "See postern explain of the one that is named"},
};
/* clang-format on */

const struct finding_info *finding_at(size_t i)
{
        return i < sizeof(rows) / sizeof(rows[0]) ? &rows[i] : NULL;
}

const struct finding_info *finding_info(const char *code)
{
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (strcmp(rows[i].code, code) == 0)
                        return &rows[i];
        return NULL;
}

const char *finding_level_text(enum finding_level level)
{
        static const char *const texts[FINDING_LEVELS] = {"stops", "limits", "warns"};

        return level < FINDING_LEVELS ? texts[level] : "warns";
}

json_t *finding_add(json_t *list, struct finding f, const char *fmt, ...)
{
        const struct finding_info *info = finding_info(f.code);
        va_list ap;

        assert(info);
        va_start(ap, fmt);
        json_t *cause = json_vsprintf(fmt, ap);
        va_end(ap);
        json_t *object = json_pack("{s:s, s:s}", "code", f.code, "level",
                                   finding_level_text(info ? info->level : FINDING_WARNS));
        fact_put(object, "about", f.about);
        fact_put(object, "detail", f.detail);
        if (f.since > 0)
                (void)json_object_set_new(object, "since", json_integer(f.since));
        (void)json_object_set_new(object, "cause", cause ? cause : json_string("something that is not valid text"));
        fact_put(object, "remedy", f.remedy ? f.remedy : info ? info->remedy : "");
        return json_array_append_new(list, object) == 0 ? object : NULL;
}

const char *finding_state(const json_t *findings)
{
        static const char *const states[FINDING_LEVELS + 1] = {"stopped", "limited", "warned", "well"};
        size_t worst = FINDING_LEVELS;

        for (size_t i = 0; i < json_array_size(findings); i++)
                for (size_t level = 0; level < worst; level++)
                        if (strcmp(fact_text(json_array_get(findings, i), "level"),
                                   finding_level_text((enum finding_level)level)) == 0)
                                worst = level;
        return states[worst];
}
