/*
 * The main functions of posternd's processes, as the sandbox starts them: connector/link/main.c and
 * connector/validator/main.c, compiled once more with another name for main (meson.build).
 */
#pragma once

int link_main(int argc, char **argv);
int validator_main(int argc, char **argv);
