/*
 * state_dir/domain-sids: which SID each domain was found to have. Written by the validator, and by `postern domain
 * repin`, which the validator notices within seconds. JSON, {"v":1,"domains":{"corp.example":{"sid":"S-1-5-21-...",
 * "seen":"...","source":"learnt"}}}, overwritten in place under a lock, for the validator has no more than its
 * descriptor.
 */
#pragma once

#include "base/core/error.h"
#include "validate/types/domain.h"

#define FILE_DOMAIN_SIDS "domain-sids"
#define SID_FILE_DOMAINS 64 /* those that are not configured any more included */

struct sid_file_domain {
        char domain[254];
        char sid[SID_TEXT_MAX];  /* learnt, or "": it is to be learnt */
        char seen[SID_TEXT_MAX]; /* another that a DC told since, or "" */
        char source[16];         /* where the one in force is from: "roster", "config", "learnt"; "" */
};

struct sid_file {
        size_t n;
        struct sid_file_domain domains[SID_FILE_DOMAINS];
};

/* Waits for whoever else reads or writes it. Closing fd lets go, too. */
int sid_file_lock(int fd, struct error *err);
void sid_file_unlock(int fd);
/* 0, also for an empty file; -EBADMSG: damaged; -EPROTO: of a newer version, not to be written over. */
int sid_file_read(struct sid_file *ret_file, int fd, struct error *err);
int sid_file_write(const struct sid_file *file, int fd, struct error *err);
/* The domain's entry; with make a fresh one where there is none. NULL: there is none, or no room. */
struct sid_file_domain *sid_file_find(struct sid_file *file, const char *domain, bool make);
