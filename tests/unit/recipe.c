/* Recipes: variables, words, rules, and the sentences of their failures. */
#include "tests/unit/recipe_text.h"

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

static void tells_several(void)
{
	check_fails("x:\n\tprep $(A)\ny:\n\tprep $(B)\n", "a.booth:2: there is no variable or target 'A'\n    \tprep $(A)\n    \t     ^\n"
		    "build/scratch/recipe/a.booth:4: there is no variable or target 'B'");
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
	TEST(tells_several);
	TEST(home_folder);
	TEST(survives_anything);
	return test_end();
}
