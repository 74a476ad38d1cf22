/*
 * The table of keys and its types. Internal to the files config*.c.
 */
#pragma once

#include "connector/conf/config.h"

enum config_section { SECTION_CONNECTOR = 0, SECTION_DOMAIN };

struct config_word {
        const char *word;
        unsigned value;
};

/* Says in err what is wrong with value, without repeating what could be a secret. 0 or -EINVAL. */
typedef int config_check_fn(const char *value, struct error *err);
/* Parses one item of a list into its slot, which is zero. 0, -EINVAL, -ENOMEM. */
typedef int config_item_fn(void *slot, const char *item, struct error *err);

enum config_type { TYPE_TEXT = 0, TYPE_NUMBER, TYPE_WORD, TYPE_LIST };

struct config_key {
        enum config_section section;
        const char *name;
        enum config_type type;
        size_t offset;         /* in struct config or struct config_domain */
        uint32_t min, max;     /* number: value; text: bytes; list: items */
        const char *initial;   /* default as one would write it; NULL: none */
        const char *range;     /* allowed values, for humans */
        const char *otherwise; /* what an absent key means, where `initial` doesn't say it; for humans */
        const char *example;   /* set in the sample file; NULL: shown commented out */
        const char *help;
        config_check_fn *check;          /* text */
        const struct config_word *words; /* word; ends with NULL */
        config_item_fn *item;            /* list */
        size_t item_size, offset_n;
};

extern const struct config_key config_keys[];
extern const size_t config_keys_n;
#define CONFIG_KEYS_MAX 96

/* The row, or NULL. */
const struct config_key *config_key_find(enum config_section section, const char *name);
/* Sets the key's field of base (struct config or struct config_domain, by section) from text. 0, -EINVAL with
 * why in err (with the allowed range), -ENOMEM. A field that was set is replaced. */
int config_key_set(const struct config_key *key, void *base, const char *value, struct error *err);
/* Frees what the key's field owns. */
void config_key_clear(const struct config_key *key, void *base);

/* checkers and item parsers, conf/check.c */
int check_label(const char *value, struct error *err);
int check_tenant(const char *value, struct error *err);
int check_relay(const char *value, struct error *err);
int check_proxy(const char *value, struct error *err);
int check_path(const char *value, struct error *err);
int check_key(const char *value, struct error *err);
int check_user(const char *value, struct error *err);
int check_realm(const char *value, struct error *err);
int check_netbios(const char *value, struct error *err);
int check_domain_sid(const char *value, struct error *err);
int check_bind_template(const char *value, struct error *err);
int check_service_principal(const char *value, struct error *err);
int check_armor_principal(const char *value, struct error *err);
int check_domain_name(const char *value, struct error *err);
int check_attribute(const char *value, struct error *err);
int check_base(const char *value, struct error *err);
int check_account(const char *value, struct error *err);
int check_dns_servers(const char *value, struct error *err);
int item_attribute(void *slot, const char *item, struct error *err);
int item_suffix(void *slot, const char *item, struct error *err);
int item_dc(void *slot, const char *item, struct error *err);
int item_method(void *slot, const char *item, struct error *err);
int item_pin(void *slot, const char *item, struct error *err);
