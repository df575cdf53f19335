/* booth doctor: what this machine can compute on, and why not on more. */
#include "stages/booth/booth.h"

#include <stdio.h>

#include "kernels/run/device.h"

int cmd_doctor(int argc, char **argv, const struct command *c)
{
	static const struct opt none[] = { { 0 } };
	struct buf b = { 0 };
	int words, code;

	if (command_begin(argc, argv, c, none, &words, NULL, &code) < 0)
		return code;
	if (words)
		return command_usage(c, "it takes no words");
	device_report(&b);
	print_columns(buf_str(&b));
	buf_release(&b);
	return 0;
}
