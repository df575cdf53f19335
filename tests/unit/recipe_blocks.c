/* Recipes: blocks (conditions, for), names put together, what is never used, limits. */
#include "tests/unit/recipe_text.h"

static void appends(void)
{
	char line[] = "A=line", *set[] = { line, NULL };

	check_rules("A = a\nA += b $(B)\nB = c\nA += d\nx:\n\tprep $(A)\n", NULL, "x: = prep,a,b,c,d\n");
	check_rules("A += a\nx:\n\tprep $(A)\n", NULL, "x: = prep,a\n");
	check_rules("A += a\nA = b\nA +=\nx:\n\tprep $(A)\n", set, "x: = prep,line\n");
	setenv("E", "$(not) a name", 1);
	check_rules("E ?=\nE += b\nx:\n\tprep '$(E)'\n", NULL, "x: = prep,$(not) a name b\n");
	unsetenv("E");
}

static void builds_names(void)
{
	char given[] = "T_a=given", *sets[] = { given, NULL };

	check_rules("N = 2\nA_1 = one\nA_2 = two\nx:\n\tprep $(A_$(N)) \"${A_${N}}\" $(r-$(N))\nr-2:\n\tprep\n", NULL,
		    "x: = prep,two,two,\1r-2\2\nr-2: = prep\n");
	check_rules("for N in a b\nT_$(N) ?= the $(N)\n$(N):\n\tprep $(T_$(N))\nendfor\n", sets, "a: = prep,given\nb: = prep,the,b\n");
	check_rules("N = 1\nA_${N}b= x\nx:\n\tprep $(A_1b)\n", NULL, "x: = prep,x\n");
	check_marks("N = a-b\nA_$(N) = 1\n", NULL, "a.booth:2: 'A_a-b' is no name of a variable", "A_$(N)");
	check_marks("1A = 1\n", NULL, "a.booth:1: '1A' is no name of a variable", "1A");
	check_marks("A_$(NO) = 1\n", NULL, "a.booth:1: there is no variable or target 'NO' above this line", "A_$(NO)");
	check_marks("N = 3\nA_1 = one\nx:\n\tprep $(A_$(N))\n", NULL,
		    "a.booth:4: there is no variable or target 'A_3', did you mean 'A_1'", "$(A_$(N))");
}

static void names_the_unused(void)
{
	char line[] = "STPES=4", known[] = "A=3", *set[] = { line, NULL }, *sets[] = { known, NULL };

	check_marks("A = 1\nB = 2\nx:\n\tprep $(A)\n", NULL, "a.booth:2: 'B' is set here and never used", "B = 2");
	check_marks("STEPS ?= 1\nx:\n\tprep $(STEPS)\n", set,
		    "a.booth: 'STPES' is set on the command line and never used, did you mean 'STEPS'", "STPES=4");
	check_marks("A = 1\nx:\n\tprep\n", sets, "'A' is set on the command line and never used", "A=3");
	check_fails("A = 1\nB = 2\nx:\n\tprep\n", "a.booth:1: 'A' is set here and never used\n    A = 1\n    ^\n"
		    "build/scratch/recipe_blocks/a.booth:2: 'B' is set here");
	check_marks("for N in a b\nall: x\nendfor\nx:\n\tprep\n", NULL, "a.booth:1: 'N' is set here and never used", "N in");
	check_marks("for N in a b\nB = 1\n$(N):\n\tprep\nendfor\n", NULL, "a.booth:2: 'B' is set here", "B = 1");
	setenv("B", "environment", 1);
	check_marks("B ?= 1\nx:\n\tprep\n", NULL, "a.booth:1: 'B' is set here", "B ?=");
	check_marks("x:\n\tprep $(B)\n", NULL, "a.booth:2: there is no variable or target 'B', only the environment", "$(B)");
	unsetenv("B");
	/* what a condition leaves out is used, and so is what a built name may mean */
	check_rules("A = 1\nB = 2\nC = 3\nN = r\nS_r = 4\nS_t = 5\nifdef A\nx:\n\tprep $(S_$(N))\nelse\nx:\n\tprep $(B)\n"
		    "ifdef C\nendif\nendif\n", NULL, "x: = prep,4\n");
	check_rules("A = 1\nL =\nfor N in $(L)\n$(N):\n\tprep $(A)\nendfor\nx:\n\tprep\n", NULL, "x: = prep\n");
}

static void conditions(void)
{
	char given[] = "A=1", *set[] = { given, NULL };
	static const struct { const char *test; int holds; } rows[] = {
		{ "ifeq ($(E),)", 1 }, { "ifeq ( a , a )", 1 }, { "ifeq (a,b)", 0 }, { "ifneq (a,b)", 1 },
		{ "ifeq \"a b\" 'a b'", 1 }, { "ifneq '$(T)' \"t u\"", 0 }, { "ifeq ($(T),t u)", 1 },
		{ "ifeq (f(x,y),f(x,y))", 1 }, { "ifdef T", 1 }, { "ifdef E", 0 }, { "ifdef NOWHERE", 0 },
		{ "ifndef NOWHERE # why", 1 }, { "ifndef T", 0 }, { "  ifdef T", 1 }, { "ifeq '#' '#'", 1 }
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *t = xasprintf("E =\nT = t u\n%s\n  R = yes\nelse\n  R = no\nendif\nx:\n\tprep $(R) $(E) $(T)\n", rows[i].test);

		check_rules(t, NULL, rows[i].holds ? "x: = prep,yes,t,u\n" : "x: = prep,no,t,u\n");
		free(t);
	}
	check_rules("A ?=\nifeq ($(A),1)\nR = one\nelse ifeq ($(A),2)\nR = two\nelse ifdef A\nR = other\nelse\nR = none\nendif\n"
		    "x:\n\tprep $(R)\n", set, "x: = prep,one\n");
	given[2] = '2';
	check_rules("A ?=\nifeq ($(A),1)\nR = one\nelse ifeq ($(A),2)\nR = two\nelse ifdef A\nR = other\nelse\nR = none\nendif\n"
		    "x:\n\tprep $(R)\n", set, "x: = prep,two\n");
	given[2] = '3';
	check_rules("A ?=\nifeq ($(A),1)\nR = one\nelse ifeq ($(A),2)\nR = two\nelse ifdef A\nR = other\nelse\nR = none\nendif\n"
		    "x:\n\tprep $(R)\n", set, "x: = prep,other\n");
	/* within each other, and between the lines of a command; what is left out is not looked at */
	check_rules("A = 1\nx: y\n\tprep |\nifdef A\n\tcaption |\nelse\n\tbad | | $(\nendif\n\tbucket\n"
		    "ifndef A\nifdef A\nelse\nnonsense\nendif\nelse\ny:\n\tprep\nendif\n", NULL,
		    "x: y = prep|caption|bucket\ny: = prep\n");
	check_rules("x:\nifdef A\n\tprep --class $(p)\nelse\n\tprep\nendif\n", NULL, "x: = prep\n");
	/* behind a '|' there is a stage, whatever it looks like; else lines behind spaces keep their meaning */
	check_rules("x:\n    prep |\n    A = 1\n  y: x\n    caption\n", NULL, "x: = prep|A,=,1\ny: x = caption\n");
	/* what is set so far */
	check_rules("A = 1\nifeq ($(A),1)\nA = 2\nendif\nx:\n\tprep $(A)\n", NULL, "x: = prep,2\n");
	/* words that are no conditions */
	check_rules("for = 1\nelse: \n\tprep $(for)\nendif : else\n\tprep\n", NULL, "else: = prep,1\nendif: else = prep\n");
}

static void tells_bad_conditions(void)
{
	check_marks("x:\n\tprep\nifdef A\n", NULL, "a.booth:3: this 'ifdef' is not closed, 'endif' is missing", "ifdef");
	check_marks("ifdef A\nifdef B\nendif\n", NULL, "a.booth:1: this 'ifdef' is not closed", "ifdef A");
	check_marks("ifdef A\nelse\nelse\nendif\n", NULL, "a.booth:3: a second 'else'", "else");
	check_marks("ifdef A\nelse B\nendif\n", NULL, "a.booth:2: nothing is wanted behind 'else'", "B");
	check_marks("ifdef A\nendif A\n", NULL, "a.booth:2: nothing is wanted behind 'endif'", "A");
	check_marks("x:\n\tprep\nendif\n", NULL, "a.booth:3: 'endif' without an 'if' above it", "endif");
	check_marks("else\n", NULL, "a.booth:1: 'else' without an 'if' above it", "else");
	check_marks("ifdef\n", NULL, "a.booth:1: 'ifdef' wants the name of one variable", "");
	check_marks("ifdef A B\n", NULL, "a.booth:1: 'ifdef' wants", "A B");
	check_marks("ifdef $(A)\n", NULL, "a.booth:1: 'ifdef' wants", "$(A)");
	check_marks("ifeq a b\n", NULL, "a.booth:1: 'ifeq (A,B)' or 'ifeq \"A\" \"B\"' is wanted", "a b");
	check_marks("ifeq (a b)\n", NULL, "a.booth:1: 'ifeq (A,B)'", "(a b)");
	check_marks("ifeq (a,b) c\n", NULL, "a.booth:1: 'ifeq (A,B)'", "(a,b) c");
	check_marks("ifneq \"a\" \"b\n", NULL, "a.booth:1: 'ifneq (A,B)'", "\"a\"");
	check_marks("ifeq ($(A),1)\nendif\nA = 1\n", NULL, "a.booth:1: there is no variable or target 'A' above this line", "$(A)");
	check_marks("x:\n\tifdef A\n", NULL, "a.booth:2: a line that begins with a tab is a command; indent 'ifdef' with spaces", "ifdef");
	check_marks("x:\n\tA = 1\n", NULL, "a.booth:2: a line that begins with a tab is a command; indent what sets", "A = 1");
	check_marks("  prep\n", NULL, "a.booth:1: an indented line is a command, and no rule", "prep");
}

static void repeats(void)
{
	char line[] = "NAMES=rex 'sks dog'", rate[] = "RATE=7", *set[] = { line, NULL }, *own[] = { rate, NULL };

	check_rules("RATES = 1 2\nfor NAME in rex tom\n  for RATE in $(RATES)\n  $(NAME)-$(RATE): $(NAME)\n\ttrain --lr $(RATE)\n"
		    "  all: $(NAME)-$(RATE)\n  endfor\n  $(NAME):\n    prep\nendfor\n", NULL,
		    "rex-1: rex = train,--lr,1\nall: rex-1 rex-2 tom-1 tom-2\nrex-2: rex = train,--lr,2\nrex: = prep\n"
		    "tom-1: tom = train,--lr,1\ntom-2: tom = train,--lr,2\ntom: = prep\n");
	check_rules("NAMES ?= a\nfor N in $(NAMES) x\\\n  y # z\n\"$(N)\":\n\tprep '$(N)'\nendfor\n", set,
		    "rex: = prep,rex\nsks dog: = prep,sks dog\nx: = prep,x\ny: = prep,y\n");
	/* '=' is for the item, '+=' collects, a text outside sees the item */
	check_rules("ALL =\nSTEPS = 5\nTEXT = of $(N)\nfor N in a b\nifeq ($(N),b)\nSTEPS = 9\nendif\nMINE = $(N)!\nALL += $(MINE) $(r-$(N))\n"
		    "r-$(N):\n\tprep $(STEPS) \"$(TEXT)\"\nendfor\nx:\n\tprep $(ALL) $(STEPS)\n", NULL,
		    "r-a: = prep,5,of a\nr-b: = prep,9,of b\nx: = prep,a!,\1r-a\2,b!,\1r-b\2,5\n");
	check_rules("RATE = 3\nfor N in a b\nRATE = 4\n$(N):\n\tprep $(RATE)\nendfor\n", own, "a: = prep,7\nb: = prep,7\n");
	check_rules("for N in a\nD ?= x\n$(N):\n\tprep $(D)\nendfor\n", NULL, "a: = prep,x\n");
	/* a price in an item stays what it is */
	check_rules("A =\nfor N in '$$5'\nA += $(N)\nendfor\nx:\n\tprep $(A)\n", NULL, "x: = prep,$5\n");
	/* none at all */
	check_rules("L =\nfor N in $(L)\nnonsense\nendfor\nx:\n\tprep\n", NULL, "x: = prep\n");
	write_file("one.booth", "$(N): photos\n\tprep\n");
	check_rules("for N in a\ninclude one.booth\nendfor\n", NULL, "a: photos = prep\n");
	check_rules("all: a\na:\n\tprep\nall: b a\nb:\n\tprep\n", NULL, "all: a b\na: = prep\nb: = prep\n");
}

static void tells_bad_repeats(void)
{
	char line[] = "N=1", *set[] = { line, NULL };

	check_marks("for N in a\nx:\n\tprep $(N)\n", NULL, "a.booth:1: this 'for' is not closed, 'endfor' is missing", "for");
	check_marks("for N in\n", NULL, "a.booth:1: this 'for' is not closed", "for");
	check_marks("endfor\n", NULL, "a.booth:1: 'endfor' without a 'for' above it", "endfor");
	check_marks("for N in a\nendif\n", NULL, "a.booth:2: 'endif' stands where 'endfor' is wanted, for the 'for' in line 1", "endif");
	check_marks("ifndef A\nendfor\n", NULL, "a.booth:2: 'endfor' stands where 'endif' is wanted, for the 'ifndef' in line 1", "endfor");
	check_marks("for N a\nendfor\n", NULL, "a.booth:1: 'for NAME in ITEM...' is wanted", "N a");
	check_marks("for N inside\nendfor\n", NULL, "a.booth:1: 'for NAME in ITEM...' is wanted", "N inside");
	check_marks("for a-b in c\nendfor\n", NULL, "a.booth:1: 'for NAME in ITEM...' is wanted", "a-b");
	check_marks("for N in $(L)\nendfor\nL = a\n", NULL, "a.booth:1: there is no variable or target 'L' above this line", "$(L)");
	check_marks("for N in 'a\nendfor\n", NULL, "a.booth:1: this quote is not closed", "'a");
	check_marks("N = 1\nfor N in a\nendfor\n", NULL, "a.booth:2: 'N' is set in build/scratch/recipe_blocks/a.booth:1 already", "N in");
	check_marks("for N in a\nfor N in b\nendfor\nendfor\n", NULL, "a.booth:2: 'N' is set in", "N in b");
	check_marks("for N in a\nN = 1\nendfor\n", NULL, "a.booth:2: 'N' gets its values from the 'for' in line 1", "N = 1");
	check_marks("for N in a\n$(N):\n\tprep\nendfor\n", set, "a.booth:1: 'N' is set on the command line, but this 'for'", "N in");
	check_marks("for N in a b\nx: $(N)\n\tprep\nendfor\n", NULL, "a.booth:2: each item of 'for N' makes the target 'x'; put $(N) into its name", "x:");
	check_fails("for N in a b\n$(N):\n\tprep $(NO)\nendfor\n", "\n    with N = a");
	check_marks("for N in a\ninclude a.booth\nendfor\n", NULL, "a.booth:2: 'build/scratch/recipe_blocks/a.booth' includes itself", "a.booth");
	check_marks("for N in a b\ninclude one.booth\nendfor\n", NULL, "is included a second time", "one.booth");
}

/* A few bytes must not ask for all of the machine. */
static void has_limits(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "A = xxxxxxxxxxxxxxxx\n");
	for (char c = 'B'; c <= 'W'; c++)
		buf_addf(&b, "%c = $(%c)$(%c)$(%c)\n", c, c - 1, c - 1, c - 1);
	buf_adds(&b, "x:\n\tprep $(W)\n");
	check_fails(buf_str(&b), "bytes come out of the variables");
	b.at[4] = '\n';         /* of nothing, many times */
	b.at[5] = '#';
	check_fails(buf_str(&b), "bytes come out of the variables");
	buf_clear(&b);
	buf_adds(&b, "L = 0 1 2 3 4 5 6 7 8 9\n");
	for (char c = 'A'; c <= 'F'; c++)
		buf_addf(&b, "for %c in $(L)\n", c);
	for (char c = 'A'; c <= 'F'; c++)
		buf_adds(&b, "endfor\n");
	check_fails(buf_str(&b), "more than 10000 items");
	buf_clear(&b);
	for (int i = 0; i < 100; i++)
		buf_adds(&b, "ifndef A\n");
	check_fails(buf_str(&b), "more than 32 blocks");
	buf_clear(&b);
	buf_adds(&b, "x:\n\tprep ");
	for (int i = 0; i < 100; i++)
		buf_adds(&b, "$(");
	for (int i = 0; i < 100; i++)
		buf_adds(&b, ")");
	buf_adds(&b, "\n");
	check_fails(buf_str(&b), "names within names");
	buf_release(&b);
}

int main(void)
{
	folder = test_folder("recipe_blocks");
	TEST(appends);
	TEST(builds_names);
	TEST(names_the_unused);
	TEST(conditions);
	TEST(tells_bad_conditions);
	TEST(repeats);
	TEST(tells_bad_repeats);
	TEST(has_limits);
	return test_end();
}
