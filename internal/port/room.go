package port

import "time"

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
	if files := openFiles(); files > 0 {
		left := int64(files) - int64(files)/8 - reserveFiles
		limit = int(min(int64(limit), max(left, 1)))
	}
	return limit
}
