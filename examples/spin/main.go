// Command spin is hostile on request: it loops, exhausts memory, sleeps, exits,
// floods and fails, to show what a limit does.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

// Request names one thing to do. If it names several, the first in this order
// is done.
type Request struct {
	// Loop forever.
	Loop bool `json:"loop,omitempty"`
	// Recurse forever.
	Recurse bool `json:"recurse,omitempty"`
	// Panic in the handler.
	Panic bool `json:"panic,omitempty"`
	// Exit the process with this code.
	Exit *int `json:"exit"`
	// Fail with this code, such as "not_found".
	Fail *sdk.Code `json:"fail"`
	// SleepMS sleeps that many milliseconds.
	SleepMS int `json:"sleep_ms,omitempty"`
	// MemoryMiB allocates that much memory and writes to every page of it.
	MemoryMiB int `json:"memory_mib,omitempty"`
	// OutputMiB returns that much output.
	OutputMiB int `json:"output_mib,omitempty"`
	// LogMiB logs that much.
	LogMiB int `json:"log_mib,omitempty"`
}

// Response says what was done, if the guest survived it.
type Response struct {
	Did     string `json:"did"`
	Padding string `json:"padding,omitempty"`
}

const mib = 1 << 20

func init() { sdk.Handle(spin) }

func spin(ctx context.Context, in Request) (Response, error) {
	switch {
	case in.Loop:
		//lint:ignore SA5002 it is what was asked for
		for {
		}
	case in.Recurse:
		return Response{Did: fmt.Sprint("came back from ", recurse(0))}, nil
	case in.Panic:
		panic("spin was asked to panic")
	case in.Exit != nil:
		os.Exit(*in.Exit)
	case in.Fail != nil:
		return Response{}, sdk.Errorf(*in.Fail, "spin was asked to fail with %v", *in.Fail)
	case in.SleepMS > 0:
		time.Sleep(time.Duration(in.SleepMS) * time.Millisecond)
		return Response{Did: fmt.Sprintf("slept %d ms", in.SleepMS)}, nil
	case in.MemoryMiB > 0:
		return Response{Did: fmt.Sprintf("took %d MiB", eat(in.MemoryMiB))}, nil
	case in.OutputMiB > 0:
		return Response{Did: fmt.Sprintf("answered %d MiB", in.OutputMiB), Padding: strings.Repeat("x", in.OutputMiB*mib)}, nil
	case in.LogMiB > 0:
		line := strings.Repeat("x", 1023)
		for range in.LogMiB * (mib / 1024) {
			slog.Info(line)
		}
		return Response{Did: fmt.Sprintf("logged %d MiB", in.LogMiB)}, nil
	}
	return Response{Did: "nothing"}, nil
}

// recurse never returns. Its frames are large, so that the stack overflows
// soon, and its result depends on each of them, so that none can be optimized
// away.
func recurse(n int) int {
	var frame [4096]byte
	frame[n%len(frame)] = 1
	if n < 0 {
		return 0
	}
	return recurse(n+1) + int(frame[(n+1)%len(frame)])
}

// eat allocates n MiB, in pieces, so that some succeed before the limit is
// reached. It returns how many MiB it holds.
func eat(n int) int {
	var held [][]byte
	for range n {
		piece := make([]byte, mib)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		held = append(held, piece)
	}
	return len(held)
}

func main() { sdk.Main() }
