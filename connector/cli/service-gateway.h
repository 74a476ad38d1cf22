/*
 * `postern service init NAME --gateway`: a service for the gateway of this host, and that gateway running.
 */
#pragma once

#include "connector/cli/cli.h"
#include "connector/person/service-store.h"

/*
 * Makes the service in /etc/postern-gateway/service, with copies of the secret (asked for where there is no file, or
 * the file is -) and of the relay's CA in it, since the unit sees neither /home nor /root nor /tmp; writes
 * gateway.conf where there is none; enables and starts the unit where systemd runs; and says what is left to do.
 * Nothing is made where something that was given is missing or wrong. The exit code, after telling the user.
 */
int service_gateway_init(const struct cli *cli, const char *name, const struct service_settings *given);
