package completion

// Script returns what a shell loads, or "" for a shell that is not known.
func Script(shell string) string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
}

// The scripts ask the program itself, so that everything it knows is in one
// place.
const (
	bash = `_ruedo() {
  local cur="${COMP_WORDS[COMP_CWORD]}" IFS=$'\n'
  COMPREPLY=($(compgen -W "$(ruedo __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "$cur"))
  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$cur"))
}
complete -F _ruedo ruedo`

	zsh = `#compdef ruedo
_ruedo() {
  local -a found
  found=("${(@f)$(ruedo __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _ruedo ruedo`

	fish = `function __ruedo_complete
  set -l words (commandline -opc) (commandline -ct)
  ruedo __complete -- $words[2..-1] 2>/dev/null
end
complete -c ruedo -a '(__ruedo_complete)'`
)
