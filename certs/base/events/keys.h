/*
 * The keys of the ways on which records and spans leave the host (ways.h): one set of rows for the configuration table
 * of every daemon. Includes nothing: who uses it has base/conf/conf.h.
 */
#pragma once

/*
 * Rows of events_file, events_socket and traces_file. KEY(key, field): the program's CONF_FIELD; its fields have the
 * keys' names. records: which there are, for humans; where: who may write where, a sentence; spans: whose parts the
 * spans are, from ", " or ": " on, without the full stop.
 */
#define EVENTS_KEYS(KEY, records, where, spans)                                                                        \
        {KEY("events_file", events_file),                                                                              \
         .max = 256,                                                                                                   \
         .check = conf_check_path,                                                                                     \
         .range = "an absolute path",                                                                                  \
         .otherwise = "none is written",                                                                               \
         .help = "File to which every record (" records ") is appended as a line of JSON, for a SIEM: "                \
                 "postern-events(7). A file that was moved away is made anew within seconds, so logrotate needs no "   \
                 "signal. " where},                                                                                    \
                {KEY("events_socket", events_socket),                                                                  \
                 .max = 107,                                                                                           \
                 .check = conf_check_path,                                                                             \
                 .range = "the path of a UNIX datagram socket",                                                        \
                 .otherwise = "none is sent",                                                                          \
                 .help = "Socket to which the same records go as messages of RFC 5424 with structured data; "          \
                         "rsyslog's imuxsock and syslog-ng's unix-dgram listen on such. postern-events(7) has what "   \
                         "to write into rsyslog's configuration."},                                                    \
        {                                                                                                              \
                KEY("traces_file", traces_file),                                                                       \
                        .max = 256, .check = conf_check_path, .range = "an absolute path",                             \
                        .otherwise = "none is written",                                                                \
                        .help = "File to which the spans of each sign-in are appended as lines of OTLP/JSON, for an "  \
                                "OpenTelemetry collector" spans                                                        \
                                ". They hold no name of a user; postern-events(7) tells of "                           \
                                "them. What is moved away is made anew, as with events_file."                          \
        }
