// Command guest is what the conformance suite calls: the first word of the
// input says what to do, the rest is for it.
package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
)

// calls shows whether memory leaks from one call into the next.
var calls int

func init() {
	sdk.HandleBytes(func(ctx context.Context, in []byte) ([]byte, error) {
		calls++
		word, rest, _ := bytes.Cut(in, []byte(" "))
		switch string(word) {
		case "echo":
			return rest, nil
		case "count":
			return strconv.AppendInt(nil, int64(calls), 10), nil
		case "caller":
			return []byte(sdk.Caller(ctx)), nil
		case "fail":
			return nil, sdk.Errorf(sdk.AlreadyExists, "%s is taken", rest)
		case "panic":
			panic("on purpose")
		case "exit":
			os.Exit(3)
		case "spin":
			for n := 0; ; n++ {
				calls = n
			}
		case "sleep":
			time.Sleep(time.Hour)
		case "nap":
			time.Sleep(20 * time.Millisecond)
			return rest, nil
		case "log":
			slog.Info("said", "what", string(rest))
			return nil, nil
		case "logfail":
			slog.Info("said", "what", string(rest))
			return nil, sdk.Errorf(sdk.NotFound, "no")
		case "big":
			n, _ := strconv.Atoi(string(rest))
			return make([]byte, n), nil
		case "env":
			return []byte(os.Getenv(string(rest))), nil
		case "grow":
			var keep [][]byte
			for {
				keep = append(keep, make([]byte, 1<<20))
				calls = len(keep)
			}
		}
		return nil, sdk.Errorf(sdk.InvalidArgument, "what is %q?", word)
	})
}

func main() { sdk.Main() }
