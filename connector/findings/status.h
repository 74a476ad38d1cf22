/*
 * What each part of a connector says about itself, as data in the order in which a person reads it.
 */
#pragma once

#include <jansson.h>

/*
 * The ledger's answer to "status" as sections: an array of {"title":..., "age":..., "rows":[{"label":...,
 * "text":...}]}; age, in seconds, is how old a part's word is, left out where it never spoke or none is meant; label
 * may be "". Texts may hold what others chose. Owned by the caller.
 */
json_t *status_sections(const json_t *answer);
