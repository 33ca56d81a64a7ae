/* start: what starting a process and starting a thread have in common.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_START_H
#define MP_START_H

#include "process.h"

/* The start of p is mine alone: 0, or -errno with *why. */
int mp_start_claim(mp_runtime *rt, mp_process *p, const char **why);
/* Gives the claim back: rc, and *why is text. */
int mp_start_refuse(mp_process *p, int rc, const char **why, const char *text);
/* Slot and object are made ready; from then on p may be joined. The aid; 0:
 * refused, *why. kind: MP_KIND_*. */
mp_aid mp_start_prepare(mp_runtime *rt, mp_process *p, uint32_t kind, const char **why);
/* It could not be started after all: as before, and nobody holds anything by
 * that slot. */
void mp_start_undo(mp_runtime *rt, mp_process *p, mp_aid aid);

#endif
