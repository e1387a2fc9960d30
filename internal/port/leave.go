package port

import (
	"context"
	"net/http"
	"time"
)

// leaveEvery is how often Leave looks whether all clients have gone.
const leaveEvery = 10 * time.Millisecond

// Leave stops accepting connections, and serves those that are open for up to
// limit. Every answer over HTTP/1 asks the client to close its connection. It
// returns earlier once no connection is open on which another request can arrive.
// Call Drain after it.
//
// Without Leave, Drain closes idle connections immediately. A request that is on
// its way at that moment is lost, and its client cannot know whether it was
// executed. HTTP/2 says so itself, with GOAWAY.
func (s *Server) Leave(ctx context.Context, limit time.Duration) {
	if limit <= 0 || s.leaving.Swap(true) {
		return
	}
	s.stopListening()
	end := time.NewTimer(limit)
	defer end.Stop()
	look := time.NewTicker(leaveEvery)
	defer look.Stop()
	for s.conns.Expectant() {
		select {
		case <-look.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// sayGoodbye asks a client over HTTP/1 to close its connection after the answer.
func (s *Server) sayGoodbye(w http.ResponseWriter, r *http.Request) {
	if s.leaving.Load() && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}
