package stream

import (
	"encoding/binary"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// Client returns a client that sends each message of a request as one piece. Connect
// writes the length of a message on its own, and net/http sends each piece of a body of
// unknown length when it gets it.
func Client(next connect.HTTPClient) connect.HTTPClient { return client{next} }

type client struct{ next connect.HTTPClient }

func (c client) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = &messages{ReadCloser: r.Body}
	}
	return c.next.Do(r)
}

// messages is a body of messages, each of them after a prefix with its length.
type messages struct {
	io.ReadCloser
	prefix [5]byte
	have   int    // of the prefix
	left   uint32 // of the message
}

func (m *messages) Read(p []byte) (n int, err error) {
	if m.left == 0 {
		n, err = m.ReadCloser.Read(p[:min(len(p), len(m.prefix)-m.have)])
		m.have += copy(m.prefix[m.have:], p[:n])
		if m.have < len(m.prefix) || err != nil {
			return n, err
		}
		m.have, m.left = 0, binary.BigEndian.Uint32(m.prefix[1:])
		if m.left == 0 || n == len(p) {
			return n, nil
		}
	}
	// Whoever has written the prefix writes the message, too.
	more, err := m.ReadCloser.Read(p[n:min(len(p), n+int(m.left))])
	m.left -= uint32(more)
	return n + more, err
}
