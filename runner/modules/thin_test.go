package modules_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
)

// Chunk and Module make stored the source of a core.
func (s *stored) Chunk(_ context.Context, _ string, i int) ([]byte, int, func(), error) {
	if i == len(s.chunks) {
		return nil, i, func() {}, nil
	}
	return s.chunks[i], len(s.chunks), func() {}, nil
}

func (s *stored) Verify(context.Context, string) error { return nil }

func (s *stored) Module(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.wasm)), nil
}

func (s *stored) Plan(context.Context, string) (*runnerv1.Plan, error) {
	return nil, fault.New(fault.PlanNotFound, "none")
}

// link is a thin link to a core. It carries so many bytes a second, and cuts each
// connection after so many bytes of answers.
type link struct {
	t          *testing.T
	ln         net.Listener
	core       string
	rate, most int
	cuts       atomic.Int32
	wg         sync.WaitGroup
}

func newLink(t *testing.T, core string, rate, most int) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &link{t: t, ln: ln, core: core, rate: rate, most: most}
	l.wg.Go(func() {
		for {
			down, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", l.core)
			if err != nil {
				down.Close()
				continue
			}
			l.wg.Go(func() { _, _ = io.Copy(up, down); up.Close() })
			l.wg.Go(func() { l.carry(down, up) })
		}
	})
	t.Cleanup(func() { ln.Close(); l.wg.Wait() })
	return l
}

func (l *link) carry(down, up net.Conn) {
	defer down.Close()
	defer up.Close()
	buf := make([]byte, 16<<10)
	for sent := 0; ; {
		n, err := up.Read(buf)
		if err != nil {
			return
		}
		if sent += n; sent > l.most {
			l.cuts.Add(1)
			return
		}
		if _, err := down.Write(buf[:n]); err != nil {
			return
		}
		time.Sleep(time.Duration(n) * time.Second / time.Duration(l.rate))
	}
}

// core serves lanes, and returns the source that a runner behind the link has.
func core(t *testing.T, src executor.Source, rate, most int) (executor.Source, *link) {
	t.Helper()
	hub := lane.NewHub(lane.HubConfig{Core: &ruedov1.Core{Id: "core-1"}, Cluster: "test", Source: src})
	mux := http.NewServeMux()
	mux.Handle(hub.Handler())
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: mux, Protocols: &protocols}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(t, hub.Close(ctx))
		srv.Close()
		<-served
	})
	l := newLink(t, ln.Addr().String(), rate, most)
	var got executor.Source
	conn, err := lane.Dial(t.Context(), lane.ConnConfig{
		URL: "http://" + l.ln.Addr().String(), Cluster: "test",
		Runner:    &ruedov1.Runner{Id: "edge-1", Concurrency: 1},
		Bind:      func(s executor.Source) executor.Runner { got = s; return nil },
		Heartbeat: 100 * time.Millisecond,
	})
	must(t, err)
	t.Cleanup(conn.Close)
	return got, l
}

// A module of some MB arrives over a link that never carries as much in one
// piece, and nothing of it is sent twice but the pieces that were cut.
func TestAModuleArrivesOverAThinLinkThatBreaks(t *testing.T) {
	s := store(t, random(4<<20), 512<<10)
	src, l := core(t, s, 4<<20, 400<<10)
	c := open(t, t.TempDir(), nil)
	began := time.Now()
	b, err := c.Get(t.Context(), digest(s.wasm), uint64(len(s.wasm)), func(ctx context.Context) (io.ReadCloser, error) { return src.Module(ctx, digest(s.wasm)) })
	if err != nil || !bytes.Equal(b, s.wasm) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	t.Logf("%d MiB in %v, over %d connections that broke", len(b)>>20, time.Since(began), l.cuts.Load())
	if n := l.cuts.Load(); n < 5 || n > 40 {
		t.Errorf("the link broke %d times", n)
	}
}

// A core may have modules only as a whole.
func TestACoreWithoutChunks(t *testing.T) {
	s := store(t, random(100_000), 512<<10)
	src, _ := core(t, struct{ executor.Source }{s}, 100<<20, 100<<20)
	c := open(t, t.TempDir(), nil)
	b, err := c.Get(t.Context(), digest(s.wasm), 0, func(ctx context.Context) (io.ReadCloser, error) { return src.Module(ctx, digest(s.wasm)) })
	if err != nil || !bytes.Equal(b, s.wasm) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}
