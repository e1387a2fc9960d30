// Command bench measures Ruedo against baselines, everything in one
// interleaved run, so that what the machine does meanwhile hits all alike.
//
//	make bench                      prints a table
//	make bench BENCH_OUT=rows.json  also keeps the rows as JSON lines
//
// Every subject runs in processes of its own; the load comes from this one.
// Each is measured several times in turn with the others; ratios are taken
// within a round and the median over the rounds is printed. Absolute figures
// are the machine's, ratios are to be trusted.
//
// # Subjects
//
//	A1           one hop: a bare net/http echo, the floor
//	C1           two hops: a naive Connect proxy before a Connect echo
//	echo         ruedo server and ruedo runner, a guest that echoes, POST /call
//	echo-connect the same through InvokeService over Connect JSON
//	greet        the example: a Go guest, JSON in and out, a schema before it
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.role, "role", "", "internal: which baseline process to be")
	flag.StringVar(&o.next, "next", "", "internal: where the proxy baseline sends to")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each subject is measured")
	flag.DurationVar(&o.slice, "slice", time.Second, "how long each measurement takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	role, next string
	rounds     int
	slice      time.Duration
}

func run(ctx context.Context, o options) error {
	if o.role != "" {
		return serveBaseline(ctx, o.role, o.next)
	}
	subjects, stop, err := startSubjects(ctx)
	if err != nil {
		return err
	}
	defer stop()
	rows, err := measure(ctx, subjects, o)
	if err != nil {
		return err
	}
	return report(rows, os.Getenv("BENCH_OUT"))
}
