// Package site is the handler that the benchmarks of exchanges serve, natively
// and in a module.
package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/answer"
)

type text = wrapperspb.StringValue

// API is the path of the Connect service; its methods are Greet, Count and Talk.
const API = "/bench.v1.Site/"

// Handler returns the handler.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!\n", r.PathValue("name"))
	})
	mux.HandleFunc("POST /greet", greet)
	mux.HandleFunc("POST /copy", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // what is missing shows
	})
	mux.HandleFunc("GET /events", events)
	mux.Handle(API+"Greet", connect.NewUnaryHandlerSimple(API+"Greet", func(_ context.Context, name *text) (*text, error) {
		return wrapperspb.String("Hello, " + name.Value + "!"), nil
	}))
	mux.Handle(API+"Count", connect.NewServerStreamHandler(API+"Count", count))
	mux.Handle(API+"Talk", connect.NewBidiStreamHandler(API+"Talk", talk))
	return mux
}

// greet has JSON in and out.
func greet(w http.ResponseWriter, r *http.Request) {
	input, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer.To(input))
}

// events sends an event immediately, and one every second.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, "data: now\n\n"); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// count sends three messages, with the pause between them that it is asked for.
func count(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
	pause, err := time.ParseDuration(r.Msg.Value)
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	for _, number := range []string{"one", "two", "three"} {
		if pause > 0 && number != "one" {
			time.Sleep(pause)
		}
		if err := s.Send(wrapperspb.String(number)); err != nil {
			return err
		}
	}
	return nil
}

// talk answers each message.
func talk(_ context.Context, s *connect.BidiStream[text, text]) error {
	for {
		message, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.Send(wrapperspb.String(message.Value + "!"))
		}
		if err != nil {
			return err
		}
	}
}
