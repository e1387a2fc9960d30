// Command web is the service of kind http that the conformance suite calls: the
// path says what to do.
package main

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Caller", web.Caller(r.Context()))
		_, _ = io.WriteString(w, "hello")
	})
	// copy answers with the body as it arrives, and with its trailer.
	mux.HandleFunc("/copy", func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Body.Read(buf)
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
			w.(http.Flusher).Flush()
			if err == io.EOF {
				break
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		w.Header().Set(http.TrailerPrefix+"X-Sum", r.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for range n >> 20 {
			_, _ = io.WriteString(w, "m")
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(time.Hour)
	})
	mux.HandleFunc("/fail", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		time.Sleep(10 * time.Millisecond) // what was flushed goes out
		panic("on purpose")
	})
	web.Serve(mux)
}

func main() { web.Main() }
