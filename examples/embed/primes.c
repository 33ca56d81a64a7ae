/* primes: a C program that lets a Lua pipeline use every processor.
 *   cc primes.c $(pkg-config --cflags --libs mprun) && ./a.out
 *
 * SPDX-License-Identifier: MIT */
#include <mprun.h>
#include <stdio.h>
#include <string.h>

static const char script[] =
	"flow[[ range(1, 20000) -> filter(prime)*cpu -> count -> stdout ]]\n"
	"function prime(n)\n"
	"  for i = 2, math.floor(n ^ 0.5) do\n"
	"    if n % i == 0 then return false end\n"
	"  end\n"
	"  return n > 1\n"
	"end\n";

int main(void)
{
	mp_rt *rt;
	int status = 1;
	if (mp_open(&rt, NULL) != 0) {
		fprintf(stderr, "primes: %s\n", mp_errmsg(NULL));
		return 1;
	}
	if (mp_load_string(rt, script, strlen(script), "=primes") == 0 && mp_run(rt) == 0)
		status = 0;
	else
		fprintf(stderr, "primes: %s\n", mp_errmsg(rt));
	mp_close(rt);
	return status;
}
