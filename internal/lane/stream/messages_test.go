package stream

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"connectrpc.com/connect"
)

// taking is a client that records the pieces in which it gets a body.
type taking struct {
	pieces []string
	room   int
}

func (c *taking) Do(r *http.Request) (*http.Response, error) {
	buf := make([]byte, c.room)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			c.pieces = append(c.pieces, string(buf[:n]))
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func TestAMessageIsOnePiece(t *testing.T) {
	var all []string
	prefix := func(size int) string { return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(size))) }
	var want []string
	for _, text := range []string{"one", "", "12345", strings.Repeat("long", 20), "last"} {
		all = append(all, prefix(len(text)), text)
		want = append(want, prefix(len(text))+text)
	}
	send := func(c connect.HTTPClient, via func(io.Reader) io.Reader) error {
		r, w := io.Pipe() // as connect's
		go func() {
			for _, piece := range all {
				if piece != "" {
					_, _ = io.WriteString(w, piece)
				}
			}
			_ = w.Close()
		}()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://core", io.NopCloser(via(r)))
		if err == nil {
			_, err = Client(c).Do(req)
		}
		return err
	}
	whole := &taking{room: 1 << 10}
	if err := send(whole, func(r io.Reader) io.Reader { return r }); err != nil || !slices.Equal(whole.pieces, want) {
		t.Errorf("the pieces are %q, %v", whole.pieces, err)
	}
	// However it is read, nothing is lost.
	for name, via := range map[string]func(io.Reader) io.Reader{"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "with the end": iotest.DataErrReader} {
		for _, room := range []int{1, 3, 5, 6, 64} {
			c := &taking{room: room}
			if err := send(c, via); err != nil || strings.Join(c.pieces, "") != strings.Join(want, "") {
				t.Errorf("%s, %d bytes: %q, %v", name, room, c.pieces, err)
			}
		}
	}
	// A body that breaks off is one that broke off.
	for n := range 8 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://core", io.MultiReader(bytes.NewReader([]byte(prefix(3) + "one")[:n]), iotest.ErrReader(io.ErrClosedPipe)))
		if _, err := Client(&taking{room: 64}).Do(req); err != io.ErrClosedPipe {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}
