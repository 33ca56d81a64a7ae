/* cpus: how many processors this process may use.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CPUS_H
#define MP_CPUS_H

/* The least of its affinity and its cgroups' quotas (version 1 and 2), at
 * least 1. */
unsigned mp_cpus(void);

#endif
