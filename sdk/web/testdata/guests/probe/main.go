// Command probe is a service of the tests: the cases of package same, and what
// only a module can show.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/sdk"
	"github.com/ruedo-dev/ruedo/sdk/web"
	"github.com/ruedo-dev/ruedo/sdk/web/internal/same"
)

var (
	calls  int // of this memory
	warmed bool
)

// note logs what a handler saw; the test reads the log.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "note %s\n", strconv.Quote(fmt.Sprintf(format, args...)))
}

func init() {
	cases := same.Cases()
	mux := http.NewServeMux()
	mux.HandleFunc("/calls", func(w http.ResponseWriter, r *http.Request) {
		calls++
		slog.Info("counted", "calls", calls)
		fmt.Fprint(w, calls, warmed, web.CallID(r.Context()))
	})
	mux.HandleFunc("/ticks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(2 * time.Millisecond)
		}
	})
	mux.HandleFunc("/upgrade", upgrade)
	mux.HandleFunc("/together", together)
	mux.HandleFunc("/leave", func(w http.ResponseWriter, r *http.Request) {
		for range 5 {
			go func() { select {} }()
			go func() { time.Sleep(time.Hour) }()
			go func() { _, _ = r.Body.Read(make([]byte, 1)) }()
			go func() { _, _ = web.Dial(context.Background(), "tcp", "silent.example:1") }()
			go func() { <-r.Context().Done() }()
		}
		time.Sleep(time.Millisecond)
		fmt.Fprint(w, "left")
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rc := http.NewResponseController(w)
		fmt.Fprint(w, "begun")
		_ = rc.Flush()
		<-r.Context().Done()
		fmt.Fprint(w, "more")
		note("%v, then %t", r.Context().Err(), rc.Flush() != nil)
	})
	mux.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get(r.Header.Get("X-Url"))
		if err != nil {
			var refused *web.OutboundError
			fmt.Fprintf(w, "%t %v", errors.As(err, &refused), err)
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		fmt.Fprint(w, res.Status, " ", string(b), " ", err, " ", res.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/dial", func(w http.ResponseWriter, r *http.Request) {
		c, err := web.Dial(r.Context(), "tcp", "echo.example:7")
		if err != nil {
			fmt.Fprint(w, err)
			return
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		_ = c.SetReadDeadline(time.Time{})
		fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded), " ", c.RemoteAddr(), " ")
		_, _ = io.WriteString(c, "hello")
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		_, _ = io.Copy(w, c)
	})
	sdk.Warm(func() { warmed = true })
	switch os.Getenv("PROBE") {
	case "nil":
		web.Serve(nil)
	case "twice":
		web.Serve(mux)
	case "both":
		sdk.HandleBytes(func(_ context.Context, in []byte) ([]byte, error) { return in, nil })
	}
	web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i, err := strconv.Atoi(r.Header.Get("X-Case")); err == nil {
			r.Header.Del("X-Case")
			cases[i].Handle(w, r, note)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// upgrade shouts lines back, over the connection.
func upgrade(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	go func() {
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "%s!\n", line[:len(line)-1])
		}
	}()
}

// together reads the body while a timer ticks and requests go out. Those to
// slow.example are answered when the timer has ticked.
func together(w http.ResponseWriter, r *http.Request) {
	var requests sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range 3 {
		requests.Go(func() {
			res, err := http.Get("http://slow.example/")
			if err != nil {
				return
			}
			defer res.Body.Close()
			if b, _ := io.ReadAll(res.Body); string(b) == "slow" {
				mu.Lock()
				n++
				mu.Unlock()
			}
		})
	}
	ticked := false
	requests.Go(func() {
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		for range 3 {
			<-t.C
		}
		if res, err := http.Get("http://ticked.example/"); err == nil {
			ticked = true
			res.Body.Close()
		}
	})
	size, err := io.Copy(io.Discard, r.Body)
	requests.Wait()
	fmt.Fprintln(w, size, err, n, ticked)
}

func main() { web.Main() }
