package output

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// CallLines returns a log handler for a user who watches: it writes a short line
// for each call and for each line of a guest to w, and leaves other records to
// next. Each line is one write.
func CallLines(next slog.Handler, w io.Writer) slog.Handler { return callLines{next, w} }

type callLines struct {
	slog.Handler
	w io.Writer
}

func (h callLines) Handle(ctx context.Context, r slog.Record) error {
	a := make(map[string]string, r.NumAttrs())
	r.Attrs(func(attr slog.Attr) bool {
		a[attr.Key] = attr.Value.String()
		if attr.Value.Kind() == slog.KindDuration {
			a[attr.Key] = Duration(attr.Value.Duration())
		}
		return true
	})
	line := ""
	switch r.Message {
	case "executed call":
		line = fmt.Sprintf("%-12s %s in %s on %s, call %s", a["service"], a["outcome"], a["duration"], a["runner"], a["call_id"])
	case "guest":
		line = fmt.Sprintf("%-12s | %s", a["service"], a["line"])
		if n := a["lines_omitted"]; n != "" {
			line = fmt.Sprintf("%-12s | ... %s lines are not shown: see ruedo logs %[1]s", a["service"], n)
		}
	default:
		return h.Handler.Handle(ctx, r)
	}
	_, err := fmt.Fprintf(h.w, "%s %s\n", r.Time.Format("15:04:05.000"), Safe(line))
	return err
}

func (h callLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return callLines{h.Handler.WithAttrs(attrs), h.w}
}

func (h callLines) WithGroup(name string) slog.Handler {
	return callLines{h.Handler.WithGroup(name), h.w}
}
