package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
)

// LogEntry writes what a guest said in a call: as lines, each with the time and
// the call; as JSON on one line; as a document of YAML; or as the id of the call.
func (p *Printer) LogEntry(e *ruedov1.LogEntry) error {
	line := func(text string) error {
		_, err := fmt.Fprintln(p.W, text)
		return err
	}
	switch p.Format {
	case Name:
		if e.GetCallId() == "" {
			return nil // of a start
		}
		return line(e.GetCallId())
	case JSON, JSONL, YAML:
		return p.Item(e)
	}
	_, err := io.WriteString(p.W, entryText(e, p.Format == Wide))
	return err
}

// Item writes one message of many that come one after the other: as JSON on one
// line, or as a document of YAML.
func (p *Printer) Item(m proto.Message) error {
	if p.Format == YAML {
		if _, err := fmt.Fprintln(p.W, "---"); err != nil {
			return err
		}
		return p.Message(m)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object.Of(m)); err != nil {
		return err
	}
	_, err := p.W.Write(safeJSON(b.Bytes()))
	return err
}

// entryText returns an entry as lines, each with the time and the call.
func entryText(e *ruedov1.LogEntry, wide bool) string {
	call := e.GetCallId()
	if call == "" {
		call = "start"
	}
	head := e.GetTime().AsTime().Local().Format("2006-01-02 15:04:05.000") + "  "
	if wide {
		head += fmt.Sprintf("%s  %s@%d  ", e.GetRunner(), e.GetService(), e.GetRevision())
	}
	head = Safe(head + call + "  ")
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(head + fmt.Sprintf(format, args...) + "\n") }
	if n := e.GetDropped(); n > 0 {
		line("... %d bytes of this log are missing", n)
	}
	for text := range strings.Lines(e.GetText()) {
		line("%s", SafeLines(strings.TrimRight(text, "\n")))
	}
	if e.GetReason() == "" {
		return b.String()
	}
	line("%s: %s", Safe(e.GetReason()), Safe(e.GetMessage()))
	for frame := range strings.Lines(e.GetTrace()) {
		line("  at %s", Safe(strings.TrimRight(frame, "\n")))
	}
	return b.String()
}
