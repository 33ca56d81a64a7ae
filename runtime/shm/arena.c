/* arena: the memfd and its mapping.
 *
 * Layout: header, slots, object entries, their bitmaps, chunk table, block
 * records, then the data in 64 KiB chunks. The whole of it is address space;
 * a page is real once mp_shm_commit allocated it, always before its first
 * use, so that a full machine is an error and never a SIGBUS.
 * Crash: nothing to repair; the last descriptor that closes frees it.
 *
 * SPDX-License-Identifier: MIT */
#include "shm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sched.h>

#include "../base/clock.h"

#define MAX_OBJS    (UINT64_C(1) << 18)
#define MIN_OBJS    (UINT64_C(1) << 12)
#define MAX_MEMORY  (UINT64_C(192) << 30)  /* u32 references of 64 bytes reach 256 GiB */
#define MIN_MEMORY  (UINT64_C(1) << 20)

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* A limit file of the cgroup file systems; "max" and absence are no limit. */
static uint64_t limit_file(const char *path)
{
	unsigned long long v = 0;
	FILE *f = fopen(path, "re");
	if (!f)
		return UINT64_MAX;
	if (fscanf(f, "%llu", &v) != 1)
		v = 0;
	fclose(f);
	return v ? v : UINT64_MAX;
}

/* The tightest limit on the way from this process's cgroup to the root. */
static uint64_t cgroup_limit(void)
{
	char line[512], path[600];
	uint64_t m = least(limit_file("/sys/fs/cgroup/memory.max"),
	                   limit_file("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
	FILE *f = fopen("/proc/self/cgroup", "re");
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		for (char *p = line + 3, *slash; *p; *slash = 0) {
			snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", p);
			m = least(m, limit_file(path));
			if (!(slash = strrchr(p, '/')))
				break;
		}
	}
	if (f)
		fclose(f);
	return m;
}

static uint64_t resource_limit(int which)
{
	struct rlimit r;
	return getrlimit(which, &r) || r.rlim_cur == RLIM_INFINITY
	       ? UINT64_MAX : r.rlim_cur;
}

uint64_t mp_shm_default_memory(void)
{
	uint64_t m = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	m = least(m, cgroup_limit());
	m = least(m, resource_limit(RLIMIT_AS));
	m = least(m, resource_limit(RLIMIT_FSIZE));
	m = least(m / 2, MAX_MEMORY);
	return m < MIN_MEMORY ? MIN_MEMORY : m;
}

/* Where everything lies for that much data. */
static void plan(mp_header *h, uint64_t memory, uint32_t processes)
{
	uint64_t at = 4096;
	h->magic = MP_MAGIC;
	h->layout = MP_LAYOUT;
	h->nslots = processes + 1;          /* slot 0 is nobody */
	h->words = (h->nslots + 63) / 64;
	h->nobjs = (uint32_t)least(MAX_OBJS, MIN_OBJS + memory / 4096);
	h->nchunks = (uint32_t)(up(memory, MP_CHUNK) >> MP_CHUNK_SHIFT);
	h->slots = at;
	at = up(at + h->nslots * sizeof(mp_slot), 4096);
	h->objs = at;
	at = up(at + (uint64_t)h->nobjs * sizeof(mp_obj), 4096);
	h->bits = at;
	at = up(at + (uint64_t)h->nobjs * 2 * h->words * 8, 4096);
	h->chunks = at;
	at = up(at + (uint64_t)h->nchunks * sizeof(mp_chunk), 4096);
	h->meta = at;
	at = up(at + (uint64_t)h->nchunks * MP_CHUNK_BLOCKS * sizeof(mp_meta), MP_CHUNK);
	h->data = at;
	h->size = at + (uint64_t)h->nchunks * MP_CHUNK;
}

static void point(mp_shm *s)
{
	s->h = (mp_header *)(void *)s->base;
	s->slots = mp_at(s, s->h->slots);
	s->objs = mp_at(s, s->h->objs);
	s->chunks = mp_at(s, s->h->chunks);
	s->meta = mp_at(s, s->h->meta);
}

static uint32_t processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return (uint32_t)CPU_COUNT(&set);
	return (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static void randomise(mp_header *h)
{
	if (getrandom(h->authkey, sizeof h->authkey, GRND_NONBLOCK) != (ssize_t)sizeof h->authkey ||
	    getrandom(&h->id, sizeof h->id, GRND_NONBLOCK) != (ssize_t)sizeof h->id)
		h->id = (uint64_t)mp_now() ^ (uint64_t)getpid() << 40;
}

/* Maps fd at its planned size. MAP_NORESERVE: address space, not memory. */
static int map(mp_shm *s, int fd, uint64_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	s->base = base;
	s->size = size;
	s->fd = fd;
	madvise(base, size, MADV_DONTDUMP);  /* a core dump must not contain it whole */
	return 0;
}

int mp_shm_commit(mp_shm *s, uint64_t off, uint64_t len)
{
	int rc;
	do
		rc = fallocate(s->fd, 0, (off_t)off, (off_t)len);
	while (rc && errno == EINTR);
	return rc ? MP_NOMEM : MP_OK;
}

static int create_sized(mp_shm *s, uint64_t memory, uint32_t processes, const char **why)
{
	mp_header plan_of = { 0 };
	int rc, fd = memfd_create("mprun", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		*why = "memfd_create";
		return -errno;
	}
	plan(&plan_of, memory, processes);
	*why = "the size of the shared memory (RLIMIT_FSIZE, ulimit -f)";
	errno = EFBIG;  /* asked first: past it, ftruncate raises SIGXFSZ */
	if (plan_of.size > resource_limit(RLIMIT_FSIZE) ||
	    ftruncate(fd, (off_t)plan_of.size))
		goto fail;
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	*why = "mmap of the shared memory (RLIMIT_AS, ulimit -v)";
	if ((rc = map(s, fd, plan_of.size)) != 0) {
		close(fd);
		return rc;
	}
	*why = "allocation of the shared memory's tables";
	if (mp_shm_commit(s, 0, 4096)) {
		errno = ENOMEM;
		munmap(s->base, s->size);
		goto fail;
	}
	*(mp_header *)(void *)s->base = plan_of;
	point(s);
	return 0;
fail:
	rc = -errno;
	close(fd);
	return rc;
}

int mp_shm_create(mp_shm *s, const mp_shm_config *cfg, const char **why)
{
	const char *reason;
	uint64_t memory = cfg->memory ? cfg->memory : mp_shm_default_memory();
	uint32_t processes = cfg->processes ? cfg->processes : 1024;
	int rc;
	memset(s, 0, sizeof *s);
	s->keeper_fd = -1;
	s->store[0] = s->store[1] = -1;
	s->types = cfg->types;
	if (processes >= MP_MAX_SLOTS)
		processes = MP_MAX_SLOTS - 1;
	if (memory > MAX_MEMORY)
		memory = MAX_MEMORY;
	if (memory < MIN_MEMORY)
		memory = MIN_MEMORY;
	/* A limit that no file tells shows only here: try with half. */
	while ((rc = create_sized(s, memory, processes, &reason)) != 0 &&
	       !cfg->memory && memory / 2 >= MIN_MEMORY)
		memory /= 2;
	if (rc) {
		if (why)
			*why = reason;
		return rc;
	}
	randomise(s->h);
	s->h->ncpu = processors();
	s->h->opened = mp_now();
	s->h->slots_high = 1;
	s->h->objs_high = s->h->objs_hint = 1;
	return 0;
}

void mp_shm_unmap(mp_shm *s)
{
	if (!s->base)
		return;
	munmap(s->base, s->size);
	close(s->fd);
	s->base = NULL;
	s->fd = -1;
}
