/* Recipes: variables, words, rules, and the sentences of their failures. */
#include "tests/test.h"

#include "stages/booth/recipe.c"
#include "stages/booth/recipe_vars.c"
#include "stages/booth/recipe_lines.c"
#include "stages/booth/recipe_blocks.c"
#include "stages/booth/recipe_rules.c"
#include "stages/booth/expand.c"
#include "stages/booth/place.c"

static const char *folder;

static const char *write_file(const char *name, const char *text)
{
	static char path[300];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "w");
	CHECK(f && fputs(text, f) >= 0 && !fclose(f));
	return path;
}

static int read_text(struct recipe *r, const char *text, char *const *set, struct err *e)
{
	size_t n = 0;

	while (set && set[n])
		n++;
	return recipe_read(r, write_file("a.booth", text), set, n, e);
}

/* All words of a rule, joined with '|' between stages and ',' between words. */
static const char *words_of(const struct recipe *r, const char *target)
{
	static char out[1000];
	const struct rule *rule = recipe_rule(r, target);
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; rule && i < rule->steps; i++)
		for (size_t k = 0; k < rule->step[i].words.n; k++)
			n += (size_t)snprintf(out + n, sizeof out - n, "%s%s", k ? "," : i ? "|" : "",
					      rule->step[i].words.at[k].text);
	return out;
}

static void check_words(const char *command, const char *want)
{
	char set[] = "ODD=a 'b c' d", *sets[] = { set, NULL };
	struct recipe r;
	struct err e;
	char *text = xasprintf("T ?= two words\nU = $(T)!\nE =\nother:\n\tprep $(T) $(U) $(E) $(ODD)\nx:\n\t%s\n",
			       command);

	CHECK_OK(read_text(&r, text, sets, &e), e);
	CHECK_STR(words_of(&r, "x"), want);
	recipe_release(&r);
	free(text);
}

static void check_fails(const char *text, const char *sentence)
{
	struct recipe r;
	struct err e = { "no failure" };

	CHECK(read_text(&r, text, NULL, &e) < 0);
	if (!strstr(e.text, sentence)) {
		printf("# '%s'\n# has no '%s'\n", e.text, sentence);
		test_bad = 1;
	}
	recipe_release(&r);
}

/* The line that is shown, and the byte of it that is marked. */
static void check_marks(const char *text, char *const *set, const char *sentence, const char *marked)
{
	struct recipe r;
	struct err e = { "no failure" };
	const char *line, *mark;

	CHECK(read_text(&r, text, set, &e) < 0);
	line = strstr(e.text, "\n    ");
	mark = line ? strstr(line + 5, "\n    ") : NULL;
	if (!strstr(e.text, sentence) || !mark ||
	    strncmp(line + strcspn(mark + 1, "^") + 1, marked, strlen(marked))) {
		printf("# '%s'\n# does not say '%s' of '%s'\n", e.text, sentence, marked);
		test_bad = 1;
	}
	recipe_release(&r);
}

/* The commands of all rules, one a line: "target: needs = words". */
static void check_rules(const char *text, char *const *set, const char *want)
{
	struct recipe r;
	struct err e;
	struct buf b = { 0 };

	CHECK_OK(read_text(&r, text, set, &e), e);
	for (size_t i = 0; i < r.rules; i++) {
		buf_addf(&b, "%s:", r.rule[i].target);
		for (size_t k = 0; k < r.rule[i].need.n; k++)
			buf_addf(&b, " %s", r.rule[i].need.at[k].text);
		buf_addf(&b, "%s%s\n", r.rule[i].steps ? " = " : "", words_of(&r, r.rule[i].target));
	}
	CHECK_STR(buf_str(&b), want);
	buf_release(&b);
	recipe_release(&r);
}

static void splits_words(void)
{
	check_words("prep --a 1", "prep,--a,1");
	check_words("prep | caption|bucket", "prep|caption|bucket");
	check_words("prep \"a b\" 'c d' e\\ f", "prep,a b,c d,e f");
	check_words("prep a\"b c\"'d'", "prep,ab cd");
	check_words("prep \"\" ''", "prep,,");
	check_words("prep \"a|b\" 'a;b' \\|", "prep,a|b,a;b,|");
	check_words("prep a # comment | x", "prep,a");
	check_words("prep a#b", "prep,a#b");
	check_words("prep \\\n\t\ta \\\n  b", "prep,a,b");
	check_words("prep |\n\tcaption a |\n\n\t# between\n\tbucket", "prep|caption,a|bucket");
	check_words("prep \"say \\\"x\\\" \\\\ \\n\"", "prep,say \"x\" \\ \\n");
	check_words("prep --c \xc3\xa9t\xc3\xa9", "prep,--c,\xc3\xa9t\xc3\xa9");
}

static void replaces_variables(void)
{
	check_words("prep $(T)", "prep,two,words");
	check_words("prep \"$(T)\" '$(T)'", "prep,two words,two words");
	check_words("prep \"a $(U) b\"", "prep,a two words! b");
	check_words("prep x$(T)y", "prep,xtwo,wordsy");
	check_words("prep $(ODD)", "prep,a,b c,d");
	check_words("prep \"$(ODD)\"", "prep,a 'b c' d");
	check_words("prep $(E) a $(E)", "prep,a");
	check_words("prep \"$(E)\"", "prep,");
	check_words("prep $$5 '$$'", "prep,$5,$");
	check_words("prep --class $(other)", "prep,--class,\1other\2");
}

static const char *value_of(const struct recipe *r, const char *name)
{
	const struct var *v = recipe_var(r, name);

	return v ? v->value : "(none)";
}

static void picks_values(void)
{
	char line[] = "A=line", *set[] = { line, NULL };
	struct recipe r;
	struct err e;
	const char *rules = "x:\n\tprep $(A) $(B) $(C) $(D) $(F) $(G)\n";
	char *text = xasprintf("A = file\nB ?= soft\nB = hard\nC ?= soft\nD = first\nD ?= second\nF = a \\\n   b # no\nG = \"q\"\n%s", rules);

	setenv("C", "environment", 1);
	setenv("D", "environment", 1);
	CHECK_OK(read_text(&r, text, set, &e), e);
	CHECK_STR(value_of(&r, "A"), "line");
	CHECK_STR(value_of(&r, "B"), "hard");
	CHECK_STR(value_of(&r, "C"), "environment");
	CHECK_STR(value_of(&r, "D"), "first");
	CHECK_STR(value_of(&r, "F"), "a b");
	CHECK_STR(value_of(&r, "G"), "\"q\"");
	CHECK_STR(words_of(&r, "x"), "prep,line,hard,environment,first,a,b,q");
	recipe_release(&r);
	unsetenv("C");
	unsetenv("D");
	free(text);
}

static void knows_rules(void)
{
	struct recipe r;
	struct err e;
	const struct rule *x;

	CHECK_OK(read_text(&r, "OUT = out\nall: x \"$(OUT)/a b.png\"\nx: \"some folder\" y\n\tprep\ny:\n\tprep\n"
			       "\"$(OUT)/a b.png\": x $(y)\n\tsample\nt.tsv: x\n\tbucket\n", NULL, &e), e);
	CHECK_INT(r.rules, 5);
	CHECK_INT(recipe_rule(&r, "all")->kind, RULE_GROUP);
	x = recipe_rule(&r, "x");
	CHECK_INT(x->kind, RULE_RESULT);
	CHECK_INT(x->need.n, 2);
	CHECK_STR(x->need.at[0].text, "some folder");
	x = recipe_rule(&r, "out/a b.png");
	CHECK(x && x->kind == RULE_FILE);
	CHECK_INT(x->need.n, 2);
	CHECK_STR(x->need.at[1].text, "y");
	CHECK_INT(recipe_rule(&r, "t.tsv")->kind, RULE_FILE);
	CHECK_STR(recipe_near(&r, "al"), "all");
	recipe_release(&r);
}

static void includes(void)
{
	struct recipe r;
	struct err e;

	write_file("common.booth", "MODEL ?= m\nbase:\n\tprep\n");
	CHECK_OK(read_text(&r, "NAME = common\ninclude $(NAME).booth\nx: base\n\ttrain --model $(MODEL)\n", NULL, &e), e);
	CHECK_STR(words_of(&r, "x"), "train,--model,m");
	recipe_release(&r);
	check_fails("include nowhere.booth\n", "a.booth:1: cannot open");
	check_fails("include\t\n", "a.booth:1");
	write_file("loop.booth", "include loop.booth\n");
	check_fails("include loop.booth\n", "loop.booth:1: 'build/scratch/recipe/loop.booth' includes itself");
	write_file("twice.booth", "y:\n\tprep\n");
	check_marks("include twice.booth\n include twice.booth\n", NULL, "a.booth:2: 'build/scratch/recipe/twice.booth' is included a second time", "twice.booth");
	write_file("self.booth", "include a.booth\n");
	check_fails("include self.booth\n", "self.booth:1: 'build/scratch/recipe/a.booth' includes itself");
	write_file("half.booth", "ifdef A\n");
	check_fails("include half.booth\nendif\n", "half.booth:1: this 'ifdef' is not closed");
	write_file("spare.booth", "SPARE = 1\nRATE ?= 2\n");
	check_rules("include spare.booth\nx:\n\tprep $(RATE)\n", NULL, "x: = prep,2\n");
	write_file("bad.booth", "\n\nx y\n");
	check_fails("include bad.booth\n", "bad.booth:3: ");
}

static void tells_failures(void)
{
	check_fails("x:\n\tprep $(PHOTO)\nPHOTOS = a\n", "a.booth:2: there is no variable or target 'PHOTO', did you mean 'PHOTOS'");
	check_fails("x:\n\tprep \"$(\n", "a.booth:2: '$' begins");
	check_fails("x:\n\tprep $x\n", "a.booth:2: '$' begins");
	check_fails("A = $(B)\nB = $(A)\nx:\n\tprep $(A)\n", "needs itself");
	check_fails("x: y\n\tprep\ny: z\n\tprep\nz: x\n\tprep\n", "a.booth:1: a cycle: 'x' needs 'y' needs 'z' needs 'x'");
	check_fails("x:\n\tprep --a $(x)\n", "a cycle");
	check_fails("x:\n\tprep\n\nx:\n\tprep\n", "a.booth:4: target 'x' has a rule already");
	check_fails("x:\n\tprep \"a\n", "a.booth:2: this quote is not closed");
	check_fails("x:\n\tprep 'a |\n\tb'\n", "a.booth:2: this quote is not closed");
	check_fails("x:\n\tprep > file\n", "a.booth:2: '>' has no meaning");
	check_fails("x:\n\tprep | | caption\n", "a.booth:2: a stage is missing");
	check_fails("x:\n\tprep |\n", "a.booth:2: a stage is missing after");
	check_fails("x:\n\t| prep\n", "a stage is missing before");
	check_fails("x:\n\tprep\n\tcaption\n", "a.booth:3: a rule has one command");
	check_fails("\tprep\n", "a.booth:1: an indented line");
	check_fails("x\n", "a.booth:1: this is neither");
	check_fails(": y\n", "without a target");
	check_fails("x:\n", "neither a command nor");
	check_fails("out/x.png: y\ny:\n\tprep\n", "no command that writes it");
	check_fails("x = 1\nx:\n\tprep\n", "is a variable too");
	check_marks("A := 1\n", NULL, "a.booth:1: ':=' is not known", ":= 1");
	check_marks("A = 1\nA ::= 1\n", NULL, "a.booth:2: ':=' is not known", "::=");
	check_marks("x: y\nprep\n", NULL, "a.booth:2: this is neither a rule 'target: needs' nor 'NAME = value'; a command begins with a tab", "prep");
	check_marks(".PHONY: x\nx:\n\tprep\n", NULL, "a.booth:1: '.PHONY' is not needed", ".PHONY");
	check_marks("x-%: y\n\tprep\ny:\n\tprep\n", NULL, "a.booth:1: '%' has no meaning", "x-%");
	check_marks("x:\n\tprep $@\n", NULL, "a.booth:2: '$@' is not known", "$@");
	check_marks("x:\n\tprep $(shell date)\n", NULL, "'$(shell date)' is no name; there are no functions", "$(shell");
	check_marks("x:\n\tprep\n$(x)-y:\n\tprep\n", NULL, "a.booth:3: 'x' is a target, whose result is not known here", "$(x)-y");
	check_marks("x:\n\tprep\ny:\n\tprep $(a-$(x))\n", NULL, "a.booth:4: the result of a target can't be part of a name", "$(a-$(x))");
	check_marks("x:\n\tprep \"$(A\"\n", NULL, "a.booth:2: '$' begins", "$(A");
	check_fails("x y:\n\tprep\n", "one target");
	check_fails("# nothing\n", "has no rules");
	check_fails("", "has no rules");
	check_fails("x:\n\tprep \xff\n", "a.booth:2: not valid UTF-8");
	check_fails("x:\n\tprep \x01\n", "a.booth:2: a control character");
	check_fails("x: a$(y)b\n\tprep\ny:\n\tprep\n", "can't be part of a longer name");
}

static void marks_the_place(void)
{
	struct recipe r;
	struct err e;

	CHECK(read_text(&r, "x:\n\tprep \xc3\xa9 $(NO) z\n", NULL, &e) < 0);
	CHECK(strstr(e.text, "\n    \tprep \xc3\xa9 $(NO) z\n    \t       ^") != NULL);
	recipe_release(&r);
}

static void sets_from_line(void)
{
	char bad[] = "1A=x", odd[] = "A=a\nb", one[] = "A=1", two[] = "A=2";
	char *set[] = { bad, NULL }, *both[] = { one, two, NULL };
	struct recipe r;
	struct err e;

	CHECK(is_assignment("A=b") && is_assignment("_a1=") && !is_assignment("a-b=c") && !is_assignment("=x") &&
	      !is_assignment("out/x"));
	CHECK(read_text(&r, "x:\n\tprep\n", set, &e) < 0);
	recipe_release(&r);
	set[0] = odd;
	CHECK(read_text(&r, "x:\n\tprep\n", set, &e) < 0);
	recipe_release(&r);
	check_rules("x:\n\tprep $(A)\n", both, "x: = prep,2\n");
}

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
	check_rules("N = 2\nA_1 = one\nA_2 = two\nx:\n\tprep $(A_$(N)) \"${A_${N}}\" $(r-$(N))\nr-2:\n\tprep\n", NULL,
		    "x: = prep,two,two,\1r-2\2\nr-2: = prep\n");
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
		    "build/scratch/recipe/a.booth:2: 'B' is set here");
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

static void tells_several(void)
{
	check_fails("x:\n\tprep $(A)\ny:\n\tprep $(B)\n", "a.booth:2: there is no variable or target 'A'\n    \tprep $(A)\n    \t     ^\n"
		    "build/scratch/recipe/a.booth:4: there is no variable or target 'B'");
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
	check_marks("N = 1\nfor N in a\nendfor\n", NULL, "a.booth:2: 'N' is set in build/scratch/recipe/a.booth:1 already", "N in");
	check_marks("for N in a\nfor N in b\nendfor\nendfor\n", NULL, "a.booth:2: 'N' is set in", "N in b");
	check_marks("for N in a\nN = 1\nendfor\n", NULL, "a.booth:2: 'N' gets its values from the 'for' in line 1", "N = 1");
	check_marks("for N in a\n$(N):\n\tprep\nendfor\n", set, "a.booth:1: 'N' is set on the command line, but this 'for'", "N in");
	check_marks("for N in a b\nx: $(N)\n\tprep\nendfor\n", NULL, "a.booth:2: each item of 'for N' makes the target 'x'; put $(N) into its name", "x:");
	check_fails("for N in a b\n$(N):\n\tprep $(NO)\nendfor\n", "\n    with N = a");
	check_marks("for N in a\ninclude a.booth\nendfor\n", NULL, "a.booth:2: 'build/scratch/recipe/a.booth' includes itself", "a.booth");
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
	check_fails(buf_str(&b), "more than 1048576 bytes come out");
	b.at[4] = '\n';         /* of nothing, many times */
	b.at[5] = '#';
	check_fails(buf_str(&b), "more than 1048576 bytes come out");
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

static void home_folder(void)
{
	char tilde[] = "P=~/rex", *set[] = { tilde, NULL };
	struct recipe r;
	struct err e;
	char *home = xstrdup(getenv("HOME") ? getenv("HOME") : "");

	setenv("HOME", "/h", 1);
	CHECK_OK(read_text(&r, "x: \"$(P)\"\n\tprep ~/a b~/c '~/d'\n", set, &e), e);
	CHECK_STR(words_of(&r, "x"), "prep,/h/a,b~/c,~/d");
	CHECK_STR(recipe_rule(&r, "x")->need.at[0].text, "/h/rex");
	recipe_release(&r);
	setenv("HOME", home, 1);
	free(home);
}

/* Whatever the bytes, there is an answer and no fault: cuts and changes of a good recipe. */
static void survives_anything(void)
{
	static const char good[] = "A ?= b \\\n c\nx: \"$(A)\" y\n\tprep --t 'a $(A)' | \\\n\tb --c $(y) # d\ny:\n\tz\n"
				   "ifeq ($(A),b)\nB += $(A_$(A))\nelse ifdef B\nelse\nendif\n"
				   "for N in a 'b c' $(A)\nB += $(N)\nC = ${N}\nx-$(N): $(C)\n\tq $(B)\nendfor\n";
	static const char odd[] = "$(){}\"'\\|\n\t#:=+ \x01\xc3~NAn";
	char text[sizeof good];
	unsigned seed = 1;

	for (int i = 0; i < 5000; i++) {
		struct recipe r;
		struct err e;
		size_t cut = sizeof good - 1;

		memcpy(text, good, sizeof good);
		for (int k = 0; k < 3; k++) {
			seed = seed * 1103515245 + 12345;
			text[(seed >> 8) % (sizeof good - 1)] =
				odd[(seed >> 20) % (sizeof odd - 1)];
		}
		if (i % 3 == 0)
			cut = (seed >> 4) % sizeof good;
		text[cut] = 0;
		read_text(&r, text, NULL, &e);
		recipe_release(&r);
	}
}

int main(void)
{
	folder = test_folder("recipe");
	TEST(splits_words);
	TEST(replaces_variables);
	TEST(picks_values);
	TEST(knows_rules);
	TEST(includes);
	TEST(tells_failures);
	TEST(marks_the_place);
	TEST(sets_from_line);
	TEST(appends);
	TEST(builds_names);
	TEST(names_the_unused);
	TEST(tells_several);
	TEST(conditions);
	TEST(tells_bad_conditions);
	TEST(repeats);
	TEST(tells_bad_repeats);
	TEST(has_limits);
	TEST(home_folder);
	TEST(survives_anything);
	return test_end();
}
