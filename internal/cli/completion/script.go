package completion

// Script returns what a shell loads, or "" for a shell that is not known.
func Script(shell string) string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
}

// The scripts ask the program itself, so that everything it knows is in one
// place.
const (
	bash = `_ruedo() {
  # bash splits words at : = and @ too: join what no space separates.
  local IFS=$'\n' rest="$COMP_LINE" cur="" breaks="${COMP_WORDBREAKS//[^:=@]/}" skip=""
  local -a words
  local i n=-1
  for ((i = 0; i <= COMP_CWORD; i++)); do
    if [[ $n -lt 0 || "$rest" == [[:space:]]* ]]; then n=$((n + 1)); words[n]=""; fi
    words[n]+="${COMP_WORDS[i]}"
    rest="${rest#*"${COMP_WORDS[i]}"}"
  done
  cur="${words[n]}"
  COMPREPLY=()
  while IFS= read -r i; do
    [[ "$i" == "$cur"* ]] && COMPREPLY+=("$i")
  done < <(ruedo __complete -- "${words[@]:1:n}" 2>/dev/null)
  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$cur"))
  [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=/@] ]] && compopt -o nospace 2>/dev/null
  # What stands before the last of them stays.
  [ -n "$breaks" ] && skip="${cur%"${cur##*[$breaks]}"}"
  COMPREPLY=("${COMPREPLY[@]#"$skip"}")
}
complete -F _ruedo ruedo`

	zsh = `#compdef ruedo
_ruedo() {
  local -a found open
  found=("${(@f)$(ruedo __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n "${found[1]}" ]] || { _files; return }
  # More follows what ends in one of =/@: no space comes after it.
  open=("${(@M)found:#*[=/@]}")
  found=("${(@)found:#*[=/@]}")
  (( $#open )) && compadd -S '' -- "${open[@]}"
  (( $#found )) && compadd -- "${found[@]}"
  return 0
}
# As a file in $fpath this runs when the first word is completed.
if [[ "${funcstack[1]}" == _ruedo ]]; then _ruedo "$@"; else compdef _ruedo ruedo; fi`

	fish = `function __ruedo_complete
  set -l before (commandline -opc)
  set -l current (commandline -ct)
  set -l found (ruedo __complete -- $before[2..-1] "$current" 2>/dev/null)
  if set -q found[1]
    printf '%s\n' $found
  else
    __fish_complete_path "$current"
  end
end
complete -c ruedo -f -a '(__ruedo_complete)'`
)
