package egress

import (
	"log/slog"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// Report is what a call has used of the network.
type Report struct {
	// Streams is how many the guest asked for; each of those that failed is in
	// one of the next three.
	Streams, Blocked, Failed, Limited uint32
	// Sent and Received are bytes of bodies and connections.
	Sent, Received int64
	// Lines say why the first streams were refused, for the log of the guest.
	Lines []string
}

// Report returns what the call has used so far; nothing if c is nil.
func (c *Call) Report() Report {
	if c == nil {
		return Report{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Sent, r.Received = c.sent.Load(), c.received.Load()
	return r
}

// AppendTo appends the lines to the log of the guest, even if that is full.
func (r Report) AppendTo(log []byte) []byte {
	for _, line := range r.Lines {
		log = append(log, "WARN sandbox: "+line+"\n"...)
	}
	return log
}

// Proto returns the report for callers; nil if there is nothing to say.
func (r Report) Proto() *ruedov1.Egress {
	if r.Streams == 0 {
		return nil
	}
	return &ruedov1.Egress{
		Streams: r.Streams, Blocked: r.Blocked, Failed: r.Failed, Limited: r.Limited,
		SentBytes: uint64(r.Sent), ReceivedBytes: uint64(r.Received),
	}
}

// Attr returns the report for the log line of the call; empty if there is nothing
// to say.
func (r Report) Attr() slog.Attr {
	if r.Streams == 0 {
		return slog.Attr{}
	}
	return slog.Group("egress", slog.Uint64("streams", uint64(r.Streams)), slog.Int64("sent", r.Sent), slog.Int64("received", r.Received))
}
