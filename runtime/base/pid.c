/* pid: see pid.h.
 *
 * SPDX-License-Identifier: MIT */
#include "pid.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int mp_pidfd_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), high;  /* close-on-exec by itself */
	if (fd < 0 || fd > 2)
		return fd < 0 ? -errno : fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, 3);  /* a standard stream is closed: leave it so */
	if (high < 0)
		high = -errno;
	close(fd);
	return high;
}

bool mp_pidfd_ended(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	return poll(&p, 1, 0) > 0;
}

/* Linux 6.15's PIDFD_GET_INFO, whatever the headers here know. */
struct pidfd_info {
	uint64_t mask, cgroupid;
	uint32_t ids[11];
	int32_t exit_code;
};
#define INFO_EXIT UINT64_C(8)
#define GET_INFO  _IOWR(0xff, 11, struct pidfd_info)

int mp_pidfd_status(int fd)
{
	struct pidfd_info info = { .mask = INFO_EXIT };
	if (fd < 0 || ioctl(fd, GET_INFO, &info) || !(info.mask & INFO_EXIT))
		return -1;
	return info.exit_code;
}

/* /proc/PID/stat into buf; its text from field 3 on, or NULL. */
static char *read_stat(pid_t pid, char *buf, size_t size)
{
	char path[32] = "/proc/", digits[12], *p = digits + sizeof digits - 1;
	ssize_t n;
	int fd;
	*p = 0;
	for (int v = pid; v > 0; v /= 10)
		*--p = (char)('0' + v % 10);
	strcat(strcat(path, p), "/stat");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = 0;
	p = strrchr(buf, ')');  /* the name may contain anything */
	return p && p[1] == ' ' ? p + 2 : NULL;
}

static const char *skip(const char *p, int fields)
{
	while (p && fields-- > 0)
		if ((p = strchr(p, ' ')) != NULL)
			p++;
	return p;
}

int mp_zombie_status(pid_t pid, uint64_t born)
{
	char buf[1024], *p = read_stat(pid, buf, sizeof buf);
	const char *start = skip(p, 22 - 3), *code = skip(start, 52 - 22);
	if (!code || (*p != 'Z' && *p != 'X'))
		return -1;
	if (born && strtoull(start, NULL, 10) != born)
		return -1;
	return (int)strtol(code, NULL, 10);
}

uint64_t mp_starttime(pid_t pid)
{
	char buf[1024];
	const char *start = skip(read_stat(pid, buf, sizeof buf), 22 - 3);
	return start ? strtoull(start, NULL, 10) : 0;
}

bool mp_pid_dead(pid_t pid, uint64_t born)
{
	char buf[1024];
	int fd = mp_pidfd_open(pid);
	bool ended = fd == -ESRCH || (fd >= 0 && mp_pidfd_ended(fd));
	const char *p, *start;
	if (fd >= 0)
		close(fd);
	if (ended)
		return true;
	p = read_stat(pid, buf, sizeof buf);
	start = skip(p, 22 - 3);
	if (!start)
		return fd < 0 && kill(pid, 0) != 0 && errno == ESRCH;
	if (born && strtoull(start, NULL, 10) != born)
		return true;  /* the pid is another's */
	return *p == 'Z' || *p == 'X';
}

int mp_pid_signal(pid_t pid, int fd, int sig)
{
	if (fd >= 0) {
		if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0)
			return 0;
		if (errno != ENOSYS && errno != EPERM)
			return -errno;
	}
	return kill(pid, sig) ? -errno : 0;
}

int mp_wait_status(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* The number below, the time in ticks since boot above: whoever has that number
 * and began later is another. */
uint64_t mp_group_note(pid_t pid)
{
	struct timespec ts;
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ((uint64_t)ts.tv_sec * hz + (uint64_t)ts.tv_nsec * hz / 1000000000) << 32 |
	       (uint32_t)pid;
}

void mp_group_kill(uint64_t note)
{
	pid_t pid = (pid_t)(uint32_t)note;
	uint64_t born = pid > 1 ? mp_starttime(pid) : 0;
	if (pid > 1 && (!born || (int32_t)((uint32_t)born - (uint32_t)(note >> 32)) <= 0))
		kill(-pid, SIGKILL);
}
