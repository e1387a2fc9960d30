// Package upgradetest opens lanes on connections of their own without the runner of
// package lane, for tests that send what no runner does.
package upgradetest

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/internal/lane/upgrade"
)

// Client sends requests for lanes as requests for the upgrade.
type Client struct {
	One connect.HTTPClient // speaks HTTP/1.1
	Two connect.HTTPClient // sends everything else
}

// Do sends a request. Unlike that of [upgrade.Client], the stream is a whole one: its
// messages are sent until its context ends.
func (c Client) Do(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/Attach") {
		return c.Two.Do(req)
	}
	u := &upgrade.Client{Next: c.One, Patience: 10 * time.Second}
	res, err := u.Do(req)
	if err == nil {
		context.AfterFunc(req.Context(), func() { req.Body.Close() })
		go forward(u.Conn(), req.Body)
	}
	return res, err
}

// forward sends the messages of a stream after the first.
func forward(to *upgrade.Conn, from io.Reader) {
	for prefix := make([]byte, 5); ; {
		if _, err := io.ReadFull(from, prefix); err != nil {
			to.Close()
			return
		}
		message := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
		if _, err := io.ReadFull(from, message); err != nil || to.Send(message) != nil {
			return
		}
	}
}
