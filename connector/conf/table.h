/*
 * The table of a connector's keys, and the checks that its rows name. Internal to connector/conf.
 */
#pragma once

#include "connector/conf/config.h"

#define CONFIG_SECTIONS 2
extern const struct conf_section config_sections[CONFIG_SECTIONS];

/* conf_check_fn and conf_item_fn, conf/check.c */
int check_tenant(const char *value, struct error *err);
int check_relay(const char *value, struct error *err);
int check_key(const char *value, struct error *err);
int check_realm(const char *value, struct error *err);
int check_netbios(const char *value, struct error *err);
int check_domain_sid(const char *value, struct error *err);
int check_bind_template(const char *value, struct error *err);
int check_service_principal(const char *value, struct error *err);
int check_armor_principal(const char *value, struct error *err);
int check_domain_name(const char *value, struct error *err);
int check_attribute(const char *value, struct error *err);
int check_told(const char *value, struct error *err);
int check_pin(const char *value, struct error *err);
int check_base(const char *value, struct error *err);
int check_account(const char *value, struct error *err);
int check_dns_servers(const char *value, struct error *err);
int item_suffix(struct conf *conf, void *slot, const char *item, struct error *err);
int item_dc(struct conf *conf, void *slot, const char *item, struct error *err);
int item_method(struct conf *conf, void *slot, const char *item, struct error *err);
