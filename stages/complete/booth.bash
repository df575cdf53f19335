# bash completion for booth. Everything is asked of the programs themselves, so new stages and options are known:
# --list-commands, --list-options, and `booth graph --names RECIPE` for targets and variables.

_booth_choose() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_booth_files() {
	mapfile -t COMPREPLY < <(compgen "${2:--f}" -- "$1")
	compopt -o filenames 2>/dev/null
}

# The value of an option of that row.
_booth_value() {
	local name type quiet choices rest
	IFS='|' read -r name type quiet choices rest <<<"$1"
	case $type in
	choice) _booth_choose "$choices" "$2" ;;
	path | paths) _booth_files "$2" ;;
	esac
}

# Recipes: files, and those that are installed, by name.
_booth_recipes() {
	local share
	share=$(dirname "$(command -v -- "$booth")")/../share/booth/recipes
	_booth_files "$1"
	[[ $1 == */* ]] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
		cd "$share" 2>/dev/null && compgen -G "$1*.booth" | sed 's/\.booth$//')
}

_booth() {
	local booth=${COMP_WORDS[0]} command=${COMP_WORDS[1]} cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local rows row i words=() assigned=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		_booth_choose "$("$booth" --list-commands 2>/dev/null | cut -f1)" "$cur"
		return
	fi
	# bash cuts words at '=': "--to=ko" is "--to" "=" "ko"
	if [[ $cur == = ]]; then
		cur= assigned=1
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]} assigned=1
	fi
	# '|' because a tab in IFS would join empty fields
	rows=$("$booth" "$command" --list-options 2>/dev/null </dev/null | awk -F '\t' -v OFS='|' 'NF == 6 { gsub(/\|/, " "); $1 = $1; print }')
	if [[ $before == --* ]]; then
		row=$(grep "^${before#--}|" <<<"$rows")
		if [[ -n $row && $row != *"|flag|"* ]]; then
			_booth_value "$row" "$cur"
			return
		fi
	elif [[ $assigned ]]; then
		_booth_files "$cur"
		return
	fi
	if [[ $cur == -* ]]; then
		_booth_choose "$(cut -d '|' -f 5 <<<"$rows" | cut -d ' ' -f 1)" "$cur"
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -* ]] || words+=("${COMP_WORDS[i]}")
	done
	case $command in
	help) _booth_choose "$("$booth" --list-commands | cut -f1)" "$cur" ;;
	ls) _booth_choose "$("$booth" --list-commands | awk -F '\t' '$2 == "stage" { print $1 }')" "$cur" ;;
	run | status | explain | graph)
		if ((${#words[@]} == 0)); then
			_booth_recipes "$cur"
		else
			_booth_choose "$("$booth" graph --names "${words[0]/#\~/$HOME}" 2>/dev/null)" "$cur"
			[[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null
		fi
		;;
	*) _booth_files "$cur" ;;
	esac
	return 0
}

complete -F _booth booth
