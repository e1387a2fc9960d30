// Package dispatch measures how fast a call gets to its guest and back.
//
// Every subject runs in processes of its own; the load comes from this one. The
// subjects are measured in turns, several times each. Ratios are taken within a
// round, and the median over the rounds is reported.
//
// # Subjects
//
//	A1           one hop: a bare net/http echo, the floor
//	C1           two hops: a naive Connect proxy before a Connect echo
//	echo         ruedo server and ruedo runner, a guest that echoes, POST /call
//	echo-connect the same through InvokeService over Connect JSON
//	greet        the example: a Go guest, JSON in and out, a schema before it
//
// With another checkout to compare with, the last three are measured a second
// time with its binary, in turn with ours.
package dispatch

import (
	"context"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

// Options of a run.
type Options struct {
	Rounds int           // how often each subject is measured
	Slice  time.Duration // how long each measurement lasts
	// Against is the directory of another checkout to compare with; "" means none.
	Against string
}

// Run measures and prints a table.
func Run(ctx context.Context, o Options) ([]table.Row, error) {
	subjects, stop, err := startSubjects(ctx, o.Against)
	if err != nil {
		return nil, err
	}
	defer stop()
	rows, err := measure(ctx, subjects, o)
	if err != nil {
		return nil, err
	}
	return rows, report(rows, o.Against != "")
}
