package exchange

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/host"
)

// Hijack returns the connection of a request that asks for another protocol.
// What is written to it first is the head of the answer, unless WriteHeader was
// called with 101: libraries for WebSocket do the one or the other. The exchange
// ends when the connection is closed, even if the handler returns before.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	switch {
	case w.over.Load():
		return nil, nil, errEnded
	case w.hijacked != nil:
		return nil, nil, http.ErrHijacked
	case w.x.req.Header.Get("Upgrade") == "":
		return nil, nil, fmt.Errorf("web: only a request that asks for an upgrade can be hijacked: %w", http.ErrNotSupported)
	case w.status != 0 && (w.began || w.status != http.StatusSwitchingProtocols):
		return nil, nil, errBegan
	}
	s, err := w.x.open()
	if err != nil {
		return nil, nil, err
	}
	w.x.ctx.stopWatching(s)
	h := &hijacked{
		Conn:   host.NewConn(s, "tcp", host.Address("tcp", w.x.req.Host), host.Address("tcp", w.x.req.RemoteAddr)),
		w:      w,
		closed: make(chan struct{}),
	}
	if w.status == http.StatusSwitchingProtocols {
		if err := h.begin(w.head); err != nil {
			return nil, nil, err
		}
	}
	w.hijacked = h
	return h, bufio.NewReadWriter(bufio.NewReader(h), bufio.NewWriter(h)), nil
}

// hijacked is the connection of an exchange.
type hijacked struct {
	*host.Conn
	w *writer

	mu    sync.Mutex
	head  []byte // what was written of it
	began bool   // the host has it

	once   sync.Once
	closed chan struct{}
}

// maxHead bounds the head that is written to a hijacked connection.
const maxHead = 64 << 10

// Write sends p. Until the head of the answer is complete, it collects that.
func (h *hijacked) Write(p []byte) (int, error) {
	h.mu.Lock()
	if h.began {
		h.mu.Unlock()
		return h.Conn.Write(p)
	}
	rest, err := h.collect(p)
	h.mu.Unlock()
	if err != nil || len(rest) == 0 {
		if err != nil {
			return 0, err
		}
		return len(p), nil
	}
	n, err := h.Conn.Write(rest)
	return len(p) - len(rest) + n, err
}

// collect takes p as a part of the head. It returns what comes after the head.
func (h *hijacked) collect(p []byte) (rest []byte, err error) {
	h.head = append(h.head, p...)
	for {
		end := bytes.Index(h.head, []byte("\r\n\r\n"))
		if end < 0 {
			if len(h.head) > maxHead {
				return nil, fmt.Errorf("web: the head of the answer has %d bytes, over %d", len(h.head), maxHead)
			}
			return nil, nil
		}
		end += len("\r\n\r\n")
		status, header, err := parseAnswer(h.head[:end])
		if err != nil {
			return nil, err
		}
		fields := abi.AppendField(nil, abi.HeadStatus, strconv.Itoa(status))
		fields = host.AppendFields(fields, header, nil)
		if status >= 200 || status == http.StatusSwitchingProtocols {
			// The rest is the end of p, because the head did not end before p.
			rest = p[len(p)-(len(h.head)-end):]
			return rest, h.begin(fields)
		}
		if n := h.w.x.host.HeadWrite(fields); n < 0 {
			return nil, host.Error(n)
		}
		h.head = h.head[end:]
	}
}

// begin gives the head of the answer to the host.
func (h *hijacked) begin(fields []byte) error {
	h.began, h.head = true, nil
	if n := h.w.x.host.HeadWrite(fields); n < 0 {
		return fmt.Errorf("web: the head of the answer was refused: %w", h.w.x.gone(host.Error(n)))
	}
	h.w.x.host.OutputFlush()
	return nil
}

// parseAnswer reads the head of an answer as HTTP/1.1 has it.
func parseAnswer(head []byte) (status int, header http.Header, err error) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	line, err := r.ReadLine()
	if err != nil {
		return 0, nil, err
	}
	proto, after, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(after, " ")
	status, err = strconv.Atoi(code)
	if !strings.HasPrefix(proto, "HTTP/1.") || len(code) != 3 || err != nil || status < 100 {
		return 0, nil, fmt.Errorf("web: what was written to the hijacked connection is not an answer: %q", line)
	}
	fields, err := r.ReadMIMEHeader()
	if err != nil {
		return 0, nil, fmt.Errorf("web: the head that was written to the hijacked connection is malformed: %w", err)
	}
	if fields["Transfer-Encoding"] != nil {
		return 0, nil, errors.New("web: an answer on a hijacked connection cannot have a Transfer-Encoding: write the body as it is")
	}
	return status, http.Header(fields), nil
}

// Close ends the connection, and with it the exchange.
func (h *hijacked) Close() error {
	err := h.Conn.Close()
	h.once.Do(func() { close(h.closed) })
	return err
}

// wait waits until the connection is closed.
func (h *hijacked) wait() error {
	h.w.x.ctx.end(context.Canceled)
	<-h.closed
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.began {
		return errors.New("the service hijacked the connection and wrote no answer to it")
	}
	return nil
}
