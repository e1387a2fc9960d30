// Command feed streams numbers as server-sent events, which browsers read with
// EventSource.
package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", events)
	web.Serve(mux)
}

// maxEvents is how many events a request can ask for: a day of one per second.
const maxEvents = 24 * 60 * 60

// events sends count events, one every so often. A client that lost its connection
// sends the id of the last event that it got, and continues after it: the service
// itself remembers nothing.
func events(w http.ResponseWriter, r *http.Request) {
	count, err := number(r.FormValue("count"), maxEvents)
	if err != nil {
		http.Error(w, fmt.Sprintf("count must be a number from 1 to %d", maxEvents), http.StatusBadRequest)
		return
	}
	every, err := pause(r.FormValue("every"))
	if err != nil {
		http.Error(w, "every must be a duration from 1ms to 1m, such as 500ms", http.StatusBadRequest)
		return
	}
	last := 0
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if last, err = number(id, maxEvents); err != nil {
			http.Error(w, "Last-Event-ID is not the id of an event", http.StatusBadRequest)
			return
		}
	}
	if last >= count {
		w.WriteHeader(http.StatusNoContent) // tells EventSource not to come back
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for n := last + 1; n <= count; n++ {
		fmt.Fprintf(w, "id: %d\nevent: tick\ndata: {\"n\":%d,\"left\":%d}\n\n", n, n, count-n)
		if err := out.Flush(); err != nil {
			return // the client is gone
		}
		if n == count {
			return
		}
		select {
		case <-time.After(every):
		case <-r.Context().Done():
			return
		}
	}
}

// number returns a number from 1 to limit, which is also what an empty text means.
func number(text string, limit int) (int, error) {
	if text == "" {
		return limit, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && (n < 1 || n > limit) {
		err = strconv.ErrRange
	}
	return n, err
}

// pause returns the time between two events, a second if the text is empty.
func pause(text string) (time.Duration, error) {
	if text == "" {
		return time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < time.Millisecond || d > time.Minute) {
		err = strconv.ErrRange
	}
	return d, err
}

// Natively this serves the handler at http://127.0.0.1:8080: go run .
func main() { web.Main() }
