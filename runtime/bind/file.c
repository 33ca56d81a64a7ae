/* file: what flows ask of files beyond Lua's io library; on the table mp.core.
 *
 *   core.stat(file)            -> { size, inode, device, kind, mtime } | nil, reason
 *                                 kind: "file", "directory", "fifo", "socket",
 *                                 "char" or "block"; links are followed
 *   core.glob(pattern)         -> sorted list of paths, see base/glob.h | nil, reason
 *   core.truncate(file, size)  -> true | nil, reason
 *   core.writable(path)        -> true | nil, reason: whether it can be opened for
 *                                 writing, made if need be; nothing is made here
 *   core.read(file, most)      -> text | nil, "end" | nil, reason: what is there,
 *                                 waited for only if nothing is (core.wait says so)
 *
 * `file` is a path, or an open one: a file of Lua's or a descriptor.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/glob.h"
#include "../proc/stdio.h"
#include "args.h"
#include "bind.h"

enum { MOST_READ = 1 << 30 };

static int failed(lua_State *L, int err)
{
	luaL_pushfail(L);
	lua_pushstring(L, strerror(err));
	return 2;
}

static const char *arg_path(lua_State *L, const char *call)
{
	size_t len;
	if (lua_type(L, 1) != LUA_TSTRING)
		mp_misuse(L, call, "expected a path, got %s", luaL_typename(L, 1));
	const char *path = lua_tolstring(L, 1, &len);
	if (strlen(path) != len)
		mp_misuse(L, call, "a path holds no zero bytes");
	return path;
}

/* ---- stat ------------------------------------------------------------------------ */

static const char *kind_of(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISFIFO(mode) ? "fifo"
	     : S_ISSOCK(mode) ? "socket" : S_ISCHR(mode) ? "char" : "block";
}

static void set_integer(lua_State *L, const char *name, lua_Integer n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, name);
}

static int core_stat(lua_State *L)
{
	static const char call[] = "core.stat";
	struct stat st;
	int rc = lua_type(L, 1) == LUA_TSTRING ? stat(arg_path(L, call), &st)
	                                       : fstat(mp_arg_fd(L, 1, call), &st);
	if (rc < 0)
		return failed(L, errno);
	lua_createtable(L, 0, 5);
	set_integer(L, "size", (lua_Integer)st.st_size);
	set_integer(L, "inode", (lua_Integer)st.st_ino);
	set_integer(L, "device", (lua_Integer)st.st_dev);
	lua_pushstring(L, kind_of(st.st_mode));
	lua_setfield(L, -2, "kind");
	lua_pushnumber(L, (lua_Number)st.st_mtim.tv_sec + (lua_Number)st.st_mtim.tv_nsec / 1e9);
	lua_setfield(L, -2, "mtime");
	return 1;
}

/* ---- glob ------------------------------------------------------------------------ */

static const char names_type[] = "mp names";

static int names_gc(lua_State *L)
{
	mp_names_free(lua_touserdata(L, 1));
	return 0;
}

static int core_glob(lua_State *L)
{
	const char *pattern = arg_path(L, "core.glob");
	mp_names *names = lua_newuserdatauv(L, sizeof *names, 0);
	*names = (mp_names){ 0 };
	luaL_setmetatable(L, names_type);
	int rc = mp_glob(pattern, names);
	if (rc < 0)
		return failed(L, -rc);
	lua_createtable(L, names->n < INT_MAX ? (int)names->n : 0, 0);
	for (size_t i = 0; i < names->n; i++) {
		lua_pushstring(L, names->list[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	mp_names_free(names);
	return 1;
}

/* ---- truncate, writable ------------------------------------------------------------ */

static int core_truncate(lua_State *L)
{
	static const char call[] = "core.truncate";
	off_t size = (off_t)mp_arg_size(L, 2, call, "the size");
	const char *path = lua_type(L, 1) == LUA_TSTRING ? arg_path(L, call) : NULL;
	int fd = path ? -1 : mp_arg_fd(L, 1, call), rc;
	do
		rc = path ? truncate(path, size) : ftruncate(fd, size);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return failed(L, errno);
	lua_pushboolean(L, 1);
	return 1;
}

/* Pushes the folder that holds the path. */
static const char *push_folder(lua_State *L, const char *path)
{
	const char *end = strrchr(path, '/');
	if (!end)
		return lua_pushliteral(L, ".");
	return lua_pushlstring(L, path, end == path ? 1 : (size_t)(end - path));
}

static int core_writable(lua_State *L)
{
	const char *path = arg_path(L, "core.writable"), *folder = push_folder(L, path);
	struct stat st;
	int rc = stat(path, &st);
	if (rc == 0 && S_ISDIR(st.st_mode))
		return failed(L, EISDIR);
	if (rc == 0)
		rc = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS);
	else if (errno == ENOENT && *path)
		rc = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);
	if (rc < 0)
		return failed(L, errno);
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- read ------------------------------------------------------------------------ */

/* Some of what is there; what the file read ahead comes first. */
static ssize_t read_some(lua_State *L, const luaL_Stream *s, int fd, char *to, size_t most)
{
	size_t ahead = s ? mp_stdio_ahead(s->f) : 0;
	ssize_t n;
	if (ahead)
		return (ssize_t)fread(to, 1, ahead < most ? ahead : most, s->f);
	while ((n = read(fd, to, most)) < 0 && (errno == EINTR || errno == EAGAIN)) {
		struct pollfd p = { fd, POLLIN, 0 };
		mp_interrupt(L, mp_state_of(L));
		poll(&p, 1, 100);
	}
	return n;
}

static int core_read(lua_State *L)
{
	static const char call[] = "core.read";
	const luaL_Stream *s = luaL_testudata(L, 1, LUA_FILEHANDLE);
	uint64_t most = mp_arg_size(L, 2, call, "the most to read");
	int fd = mp_arg_fd(L, 1, call);
	luaL_Buffer b;
	if (most < 1 || most > MOST_READ)
		mp_misuse(L, call, "the most to read must be from 1 to %d", (int)MOST_READ);
	char *to = luaL_buffinitsize(L, &b, (size_t)most);
	ssize_t n = read_some(L, s, fd, to, (size_t)most);
	if (n < 0)
		return failed(L, errno);
	if (n == 0) {
		luaL_pushfail(L);
		lua_pushliteral(L, "end");
		return 2;
	}
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

void mp_open_file(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "stat", core_stat }, { "glob", core_glob }, { "truncate", core_truncate },
		{ "writable", core_writable }, { "read", core_read }, { NULL, NULL }
	};
	luaL_newmetatable(L, names_type);
	lua_pushcfunction(L, names_gc);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_getfield(L, -1, "core");
	luaL_setfuncs(L, functions, 0);
	lua_pop(L, 1);
}
