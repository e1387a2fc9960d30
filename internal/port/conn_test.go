package port_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/port"
)

// HTTP/2 frames that tests write by hand.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
)

func frame(kind, flags byte, id uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, id), payload...)
}

// preface begins a connection whose streams can receive window bytes.
func preface(t *testing.T, c net.Conn, window uint32) {
	t.Helper()
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, window) // SETTINGS_INITIAL_WINDOW_SIZE
	if _, err := c.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameSettings, 0, 0, settings)...)); err != nil {
		t.Fatal(err)
	}
}

// get returns the header block of a GET, without compression.
func get(path string) []byte {
	literal := func(name, value string) []byte {
		b := append([]byte{0, byte(len(name))}, name...)
		return append(append(b, byte(len(value))), value...)
	}
	b := append(literal(":method", "GET"), literal(":path", path)...)
	return append(append(b, literal(":scheme", "http")...), literal(":authority", "localhost")...)
}

// stream opens a connection and one stream on it.
func stream(t *testing.T, c net.Conn, path string, window uint32) {
	t.Helper()
	preface(t, c, window)
	if _, err := c.Write(frame(frameHeaders, 0x5, 1, get(path))); err != nil { // END_STREAM, END_HEADERS
		t.Fatal(err)
	}
}

func TestStreamsResetByTheThousandCloseTheConnection(t *testing.T) {
	addr := serve(t, port.Config{}, func(s *port.Server) {
		s.Handle("GET /wait", "wait", access.Own(), port.Bounds{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	})
	c := dial(t, addr)
	preface(t, c, 1<<16)
	block := get("/wait")
	cancel := binary.BigEndian.AppendUint32(nil, 8)
	var err error
	n := 0
	for ; n < 200_000 && err == nil; n++ {
		id := uint32(2*n + 1)
		_, err = c.Write(append(frame(frameHeaders, 0x5, id, block), frame(frameReset, 0, id, cancel)...))
	}
	if err == nil {
		t.Errorf("%d streams were opened and reset, and the connection stands", n)
	}
	t.Logf("closed after %d streams", n)
}

func TestAtTheLimitOfConnectionsIdleOnesMakeRoom(t *testing.T) {
	const limit = 8
	begun := make(chan struct{}, 1)
	addr := serve(t, port.Config{Connections: limit}, func(s *port.Server) {
		mounted(nil)(s)
		s.Handle("POST /busy", "echo", access.Own(), port.Bounds{Weight: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			echo(w, r)
		}))
	})
	call := func(c net.Conn) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	busy := dial(t, addr)
	fmt.Fprint(busy, "POST /busy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
	<-begun
	for i := range 5 * limit {
		c := dial(t, addr)
		if i%2 == 0 {
			continue // never asks
		}
		if err := call(c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	// A busy connection is not closed to make room for others.
	if _, err := busy.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "xy" {
		t.Errorf("%q, %v", b, err)
	}
}

// A connection whose request is on its way is not closed for one that comes after
// it, if all others have sent half a body and wait.
func TestAtTheLimitOfConnectionsANewOneIsHeardFirst(t *testing.T) {
	const limit = 8
	begun := make(chan struct{}, 10*limit)
	addr := serve(t, port.Config{Connections: limit}, func(s *port.Server) {
		s.Handle("POST /echo", "echo", access.Own(), port.Bounds{Weight: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			echo(w, r)
		}))
	})
	half := func() {
		fmt.Fprint(dial(t, addr), "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
		<-begun
	}
	for range limit {
		half()
	}
	fresh := dial(t, addr)
	if err := fresh.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	half() // at the limit again
	if _, err := fmt.Fprint(fresh, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\ny"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(fresh), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "y" {
		t.Errorf("%q, %v", b, err)
	}
}

// When many slow requests are ended at the same time, their connections make room
// for new ones, and not a request that has just begun.
func TestAtTheLimitOfConnectionsEndedOnesMakeRoom(t *testing.T) {
	const limit = 8
	addr := serve(t, port.Config{Connections: limit, Idle: 20 * time.Second}, mounted(nil))
	half := func() *bufio.Reader {
		c := dial(t, addr)
		fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
		return bufio.NewReader(c)
	}
	var slow []*bufio.Reader
	for range limit - 1 {
		slow = append(slow, half())
	}
	for _, r := range slow { // under pressure, a few seconds are enough
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusGatewayTimeout {
			t.Fatalf("%v, %v", res, err)
		}
	}
	c := dial(t, addr)
	fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\ny")
	for range limit / 2 {
		half()
	}
	if _, err := fmt.Fprint(c, "z"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "yz" {
		t.Errorf("%q, %v", b, err)
	}
}
