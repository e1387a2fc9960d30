//go:build hostile

package hostile

import (
	"fmt"
	"testing"
)

// loginRows are the rows about who is calling.
func loginRows() []*row {
	return []*row{credentialRow(), guessRow(), loginRow(), passwordFloodRow(), forgedRow(), teamRow(), spellingRow(), browserRow()}
}

// TestLogins attacks a cluster as it is by default: callers have to log in.
func TestLogins(t *testing.T) {
	a := newArena(t, newClusterWithLogins)
	for _, r := range loginRows() {
		t.Run(fmt.Sprintf("%02d %s", r.number, r.name), func(t *testing.T) { a.play(t, r) })
	}
	t.Run("still a cluster", func(t *testing.T) { a.stillWorks(t) })
	t.Run("logs", func(t *testing.T) { a.logsAreGood(t) })
	a.report(t)
}
