package port

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/port/files"
)

const (
	// reserveFiles descriptors, and an eighth of all, are reserved for the
	// store and for other files that the process opens.
	reserveFiles = 64
	// smallBody is what a request can hold without being charged; the limit on
	// requests bounds the total.
	smallBody = 4 << 10
	// bodyRoom is how long a body waits for room in the budget. What it holds
	// meanwhile is charged.
	bodyRoom = 5 * time.Second
	// answerRoom is the same for an answer, which is in memory already.
	answerRoom = 250 * time.Millisecond
)

// MaxConnections returns how many connections a server accepts whose Config has this
// number.
func MaxConnections(limit int) int {
	if limit <= 0 {
		limit = DefaultConnections
	}
	if open := files.Limit(); open > 0 {
		left := int64(open) - int64(open)/8 - reserveFiles
		limit = int(min(int64(limit), max(left, 1)))
	}
	return limit
}
