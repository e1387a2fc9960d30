// Package suggest finds the name that somebody meant who mistyped one.
package suggest

import (
	"cmp"
	"fmt"
)

// Bounds of a suggestion. Names in Ruedo have at most 63 bytes.
const (
	maxLength = 64
	// maxWork is how many cells of distance tables one suggestion can
	// cost: about a millisecond.
	maxWork = 1 << 19
)

// Or returns what [DidYouMean] does, or otherwise if that is "".
func Or(name string, candidates []string, otherwise string) string {
	return cmp.Or(DidYouMean(name, candidates), otherwise)
}

// DidYouMean returns "did you mean NAME?" for the candidate nearest to name, or
// "" if none is close enough for a typing error. Its work is bounded: a name of
// more than 64 bytes gets no suggestion, and the last ones of very many
// candidates are ignored.
func DidYouMean(name string, candidates []string) string {
	if len(name) > maxLength {
		return ""
	}
	best, least := "", max(1, len(name)/3)+1
	work := 0
	for _, c := range candidates {
		if len(c) > maxLength || max(len(c)-len(name), len(name)-len(c)) > least {
			continue
		}
		if work += (len(name) + 1) * (len(c) + 1); work > maxWork {
			break
		}
		if d := distance(name, c, least); d < least || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours each cost one. It stops when the result
// is certain to exceed limit. Neither text is longer than maxLength.
func distance(a, b string, limit int) int {
	var rows [3][maxLength + 1]int
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	before := 0 // the minimum of the previous row
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
			least = min(least, cur[j])
		}
		if least > limit && before > limit { // a swap looks two rows back
			return limit + 1
		}
		before = least
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
