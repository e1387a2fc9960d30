// Command probe is a guest that shows, on request, everything that the SDK
// does between a handler and its host, and by its environment what it says to
// those who use it wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

type in struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	N    int    `json:"n"`
}

type out struct {
	Text        string `json:"text"`
	Calls       int    `json:"calls"`
	Warmed      int    `json:"warmed"`
	CallID      string `json:"call_id"`
	Caller      string `json:"caller"`
	ContentType string `json:"content_type"`
}

var calls, warmed int

// kept survives a call that nothing is restored after.
var kept []string

func init() {
	sdk.Warm(func() { warmed++ })
	switch os.Getenv("PROBE") {
	case "":
		sdk.Handle(handle)
	case "bytes":
		sdk.HandleBytes(keep)
	case "twice":
		sdk.HandleBytes(echo)
		sdk.Handle(handle)
	case "nil":
		sdk.HandleBytes(nil)
	case "never":
		// main is too late, and never runs
	case "bad warm":
		sdk.HandleBytes(echo)
		sdk.Warm(func() { panic("no table") })
	}
}

func echo(_ context.Context, in []byte) ([]byte, error) { return in, nil }

var inputs [][]byte

// keep answers with all inputs so far, and with the ids of their calls.
func keep(ctx context.Context, in []byte) ([]byte, error) {
	inputs, kept = append(inputs, in), append(kept, sdk.CallID(ctx))
	return fmt.Appendf(nil, "%s %s", inputs, kept), nil
}

func handle(ctx context.Context, req in) (out, error) {
	calls++
	res := out{Text: req.Text, Calls: calls, Warmed: warmed, CallID: sdk.CallID(ctx), Caller: sdk.Caller(ctx), ContentType: sdk.ContentType(ctx)}
	switch req.Do {
	case "echo":
	case "repeat":
		res.Text = strings.Repeat(req.Text, req.N)
	case "keep":
		kept = append(kept, req.Text, res.CallID)
		res.Text = strings.Join(kept, " ")
	case "calls in a call":
		one, _ := sdk.Call(ctx, []byte(`{"do":"keep","text":"one"}`))
		two, _ := sdk.Call(ctx, []byte(`{"do":"keep","text":"two"}`))
		res.Text = fmt.Sprint(len(one) < len(two), strings.Contains(string(one), `"one "`), strings.Contains(string(two), `"one  two "`))
	case "type":
		sdk.SetContentType(ctx, req.Text)
	case "fail":
		return out{}, sdk.Errorf(sdk.NotFound, "no %q here", req.Text)
	case "plain":
		return out{}, errors.New(req.Text)
	case "panic":
		panic(req.Text)
	case "panic elsewhere":
		go panic(req.Text)
		time.Sleep(time.Second)
	case "sleep":
		time.Sleep(time.Duration(req.N) * time.Millisecond)
	case "goroutines":
		sum := make(chan int)
		for i := range req.N {
			go func() { time.Sleep(time.Millisecond); sum <- i }()
		}
		total := 0
		for range req.N {
			total += <-sum
		}
		res.Text = fmt.Sprint(total)
	case "log":
		slog.Info(req.Text, "n", req.N, slog.Group("at", "place", "a b"))
		slog.Debug("not to be seen")
		slog.Error("bad")
		log.Print("from package log")
		fmt.Fprintln(os.Stderr, "from stderr")
		fmt.Println("from stdout")
	default:
		return out{}, sdk.Errorf(sdk.InvalidArgument, "do %q: no such thing", req.Do)
	}
	return res, nil
}

func main() {
	if os.Getenv("PROBE") == "never" {
		sdk.HandleBytes(echo)
	}
	sdk.Main()
}
