/* terminal: what is asked of a terminal, and bars there; on the table mp.core.
 *
 *   core.terminal(fd) -> its columns, its rows, 0: it does not say | nil: fd is none
 *   core.bar(text, [over])  to stderr; see mp_stdio_bar. It is over by itself
 *                     with a text that ends its line
 *
 * SPDX-License-Identifier: MIT */
#include <sys/ioctl.h>
#include <unistd.h>

#include "bind.h"

#include "../proc/stdio.h"

static int core_terminal(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	struct winsize size = { 0 };
	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		size.ws_col = size.ws_row = 0;
	lua_pushinteger(L, size.ws_col);
	lua_pushinteger(L, size.ws_row);
	return 2;
}

static int core_bar(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	bool over = lua_toboolean(L, 2) || (len && text[len - 1] == '\n');
	mp_stdio_flush();
	mp_stdio_bar(text, len, over);
	return 0;
}

void mp_open_terminal(lua_State *L)
{
	lua_getfield(L, -1, "core");
	lua_pushcfunction(L, core_terminal);
	lua_setfield(L, -2, "terminal");
	lua_pushcfunction(L, core_bar);
	lua_setfield(L, -2, "bar");
	lua_pop(L, 1);
}
