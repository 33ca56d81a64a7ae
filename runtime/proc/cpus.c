/* cpus: see cpus.h.
 *
 * SPDX-License-Identifier: MIT */
#include "cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"

static unsigned affinity(void)
{
	cpu_set_t *set;
	for (int n = 1024; n <= 1 << 17; n *= 2) {
		size_t size = CPU_ALLOC_SIZE(n);
		unsigned count = 0;
		int rc = -1;
		set = CPU_ALLOC(n);
		if (set && (rc = sched_getaffinity(0, size, set)) == 0)
			count = (unsigned)CPU_COUNT_S(size, set);
		CPU_FREE(set);
		if (count)
			return count;
		if (rc == 0 || errno != EINVAL)  /* EINVAL: more processors than that */
			break;
	}
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (unsigned)n : 1;
}

static long long number_in(const char *folder, const char *file, long long *second)
{
	char path[1024], text[64] = "";
	long long n = -1;
	FILE *f;
	snprintf(path, sizeof path, "%s/%s", folder, file);
	f = fopen(path, "re");
	if (!f)
		return -1;
	if (fgets(text, sizeof text, f) && second) {
		if (sscanf(text, "%lld %lld", &n, second) != 2)  /* "max 100000" */
			n = -1;
	} else if (sscanf(text, "%lld", &n) != 1) {
		n = -1;
	}
	fclose(f);
	return n;
}

/* Processors that a group's quota is worth, rounded up; 0: no limit. */
static unsigned quota_of(const char *folder)
{
	long long period = 0, quota = number_in(folder, "cpu.max", &period);
	if (quota < 0) {
		quota = number_in(folder, "cpu.cfs_quota_us", NULL);
		period = number_in(folder, "cpu.cfs_period_us", NULL);
	}
	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

/* The tightest on the way from the group to the root. */
static unsigned tightest(const char *root, const char *group, unsigned n)
{
	char folder[1024];
	size_t len = strlen(root);
	snprintf(folder, sizeof folder, "%s%s", root, group);
	for (;;) {
		unsigned q = quota_of(folder);
		char *slash = strrchr(folder, '/');
		if (q && q < n)
			n = q;
		if (!slash || strlen(folder) <= len)
			return n;
		*slash = 0;
	}
}

/* Is "cpu" one of the controllers in "cpu,cpuacct"? */
static int names_cpu(const char *list)
{
	for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, "cpu", 3) == 0 && (p[3] == 0 || p[3] == ','))
			return 1;
	return 0;
}

unsigned mp_cpus(void)
{
	unsigned n = affinity();
	char line[1024];
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		group[strcspn(group, "\n")] = 0;
		if (!list[1])
			n = tightest(ROOT, group, n);
		else if (names_cpu(list + 1))
			n = tightest(ROOT "/cpu", group, n);
	}
	if (f)
		fclose(f);
	return n;
}
