// Command talk is a service of the tests: streams in every direction, and an API of
// Connect.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ruedo-dev/ruedo/internal/headers"
	"github.com/ruedo-dev/ruedo/sdk/web"
)

type text = wrapperspb.StringValue

func main() { web.Main() }

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/seen", seen)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, " ", err)
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no thanks", http.StatusForbidden) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		piece := make([]byte, 32<<10)
		for ; n > 0; n -= len(piece) {
			if _, err := w.Write(piece[:min(n, len(piece))]); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		for i := range n {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			if i == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if r.URL.Query().Has("stay") {
			<-r.Context().Done()
		}
	})
	mux.HandleFunc("/lines", lines)
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Declared")
		_, _ = io.Copy(w, r.Body)
		if r.URL.Query().Has("flush") {
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
		w.Header().Set("X-Declared", "1")
		w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		w.Header().Set(http.TrailerPrefix+"X-Of-Request", r.Trailer.Get("X-Sum"))
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("X-A", "1")
		w.WriteHeader(n)
		_, _ = io.WriteString(w, "body")
	})
	mux.HandleFunc("/browser", func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Set-Cookie", "Clear-Site-Data", "Service-Worker-Allowed", "Refresh", "X-Own", headers.Runner} {
			w.Header().Set(name, "a=b")
		}
		fmt.Fprint(w, "<script>")
	})
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("late") {
			fmt.Fprint(w, "beginning")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		panic("boo")
	})
	mux.HandleFunc("/sleep", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) })
	mux.HandleFunc("/socket", socket)
	mux.HandleFunc("/shout", shout)

	const api = "/test.v1.Talk/"
	mux.Handle(api+"Say", connect.NewUnaryHandler(api+"Say", func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		if r.Msg.Value == "" {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("say something"))
		}
		res := connect.NewResponse(wrapperspb.String(r.Msg.Value + "!"))
		res.Header().Set("X-Head", "h")
		res.Trailer().Set("X-Tail", "t")
		return res, nil
	}, connect.WithIdempotency(connect.IdempotencyNoSideEffects)))
	mux.Handle(api+"Hear", connect.NewServerStreamHandler(api+"Hear", func(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
		for i := range 3 {
			if err := s.Send(wrapperspb.String(fmt.Sprint(r.Msg.Value, i))); err != nil {
				return err
			}
		}
		return connect.NewError(connect.CodeAborted, errors.New("enough"))
	}))
	mux.Handle(api+"Collect", connect.NewClientStreamHandler(api+"Collect", func(_ context.Context, s *connect.ClientStream[text]) (*connect.Response[text], error) {
		all := ""
		for s.Receive() {
			all += s.Msg().Value
		}
		return connect.NewResponse(wrapperspb.String(all)), s.Err()
	}))
	mux.Handle(api+"Chat", connect.NewBidiStreamHandler(api+"Chat", func(_ context.Context, s *connect.BidiStream[text, text]) error {
		for {
			m, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = s.Send(wrapperspb.String(m.Value + "?"))
			}
			if err != nil {
				return err
			}
		}
	}))
	web.Serve(mux)
}

// seen says what arrived.
func seen(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s %s %s of %q\n", r.Method, r.RequestURI, r.Host, r.Proto, web.Caller(r.Context()))
	_ = r.Header.Write(w)
}

// lines answers each line of the body as soon as it arrives. Some say how the call
// is to end, and "dial ADDRESS" has it say hello to somebody on the network, and hold
// the connection.
func lines(w http.ResponseWriter, r *http.Request) {
	in := bufio.NewReader(r.Body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "return":
			return
		case "panic":
			panic("boo")
		case "exit":
			os.Exit(3)
		case "dial":
			line = hello(r.Context(), rest)
		}
		_, _ = io.WriteString(w, "> "+line)
		w.(http.Flusher).Flush()
	}
}

// hello returns the answer to a line, or why there is none, and leaves the connection
// open.
func hello(ctx context.Context, address string) string {
	c, err := web.Dial(ctx, "tcp", address)
	if err == nil {
		_, err = io.WriteString(c, "hello\n")
	}
	line := ""
	if err == nil {
		line, err = bufio.NewReader(c).ReadString('\n')
	}
	if err != nil {
		return err.Error() + "\n"
	}
	return line
}

// shout is a protocol of lines, on a connection that is taken over.
func shout(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\nX-Own: 1\r\n\r\n")
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, line[:len(line)-1]+"!\n")
	}
}

// socket is a WebSocket that echoes short messages.
func socket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	w.WriteHeader(http.StatusSwitchingProtocols)
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	for {
		head := make([]byte, 6) // of a short frame with a mask
		if _, err := io.ReadFull(rw, head); err != nil {
			return
		}
		frame := make([]byte, 2+head[1]&0x7f)
		if _, err := io.ReadFull(rw, frame[2:]); err != nil {
			return
		}
		for i := range frame[2:] {
			frame[2+i] ^= head[2+i%4]
		}
		frame[0], frame[1] = head[0], head[1]&0x7f
		if _, err := c.Write(frame); err != nil || head[0]&0xf == 8 {
			return
		}
	}
}
