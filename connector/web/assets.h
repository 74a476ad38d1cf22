/*
 * What pages are made with: embed.py puts the files of these names into the program.
 */
#pragma once

#include <stddef.h>

struct web_asset {
        const unsigned char *bytes;
        size_t n;
};
extern const struct web_asset web_style_css, web_page_js, web_icon_svg;
