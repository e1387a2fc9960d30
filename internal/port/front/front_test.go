package front_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/port/front"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server serves plain requests by a front, and others by net/http.
type server struct {
	front *front.Front
	addr  string
}

// serve starts a server, whose answers say who has served a request.
func serve(t *testing.T, h http.HandlerFunc) *server {
	t.Helper()
	as := func(who string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Served", who)
			w.Header().Set("Content-Type", "text/plain")
			h(w, r)
		})
	}
	s := &server{front: front.New(front.Config{Panicked: func(*http.Request, any) {}})}
	s.front.Handle("/call/", as("front"))
	s.front.HandleProcedure("/test.v1.Test/Echo", as("front"))
	rest := &http.Server{Handler: as("net/http"), ErrorLog: log.New(io.Discard, "", 0)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var goroutines sync.WaitGroup
	goroutines.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			s.front.Serve(c)
		}
	})
	goroutines.Go(func() { _ = rest.Serve(s.front) })
	t.Cleanup(func() {
		_ = l.Close()
		_ = rest.Close()
		s.front.Shut()
		goroutines.Wait()
	})
	return s
}

// dial connects to a server.
func (s *server) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

// send writes to a connection.
func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// receive reads an answer.
func receive(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// post returns a request with some fields.
func post(path, body string, fields ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n" +
		strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	_, _ = w.Write(b)
}

// Whatever a handler does, a caller gets the same from a front as from net/http: status,
// fields, body, and whether the connection is kept.
func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"an echo":                  echo,
		"nothing":                  func(http.ResponseWriter, *http.Request) {},
		"a body of unknown length": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"a":`); fmt.Fprint(w, `1}`) },
		"a long body of unknown length": func(w http.ResponseWriter, _ *http.Request) {
			for range 5 {
				fmt.Fprint(w, strings.Repeat("x", 7000))
			}
		},
		"a long body with an empty part": func(w http.ResponseWriter, _ *http.Request) {
			for _, n := range []int{70_000, 0, 7} {
				fmt.Fprint(w, strings.Repeat("x", n))
			}
		},
		"a long body in one piece": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 70_000)) },
		"a long body and a panic": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the kernel may drop the answer
			fmt.Fprint(w, strings.Repeat("x", 70_000))
			panic("no")
		},
		"no length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "x")
			fmt.Fprint(w, strings.Repeat("x", 70_000))
		},
		"an error before the body": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) },
		"a long body":              func(w http.ResponseWriter, _ *http.Request) { long(w, 1<<20) },
		"a body in parts":          func(w http.ResponseWriter, _ *http.Request) { long(w, 10); _, _ = w.Write(nil) },
		"an empty body":            func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
		"a status alone":           func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"two statuses": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
		},
		"a value with a line break": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", "a\r\nInjected: 1"); long(w, 3) },
		"a name that is none":       func(w http.ResponseWriter, _ *http.Request) { w.Header()["a b"] = []string{"1"}; long(w, 3) },
		"spaces around a value":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", " a\t"); long(w, 3) },
		"a field twice":             func(w http.ResponseWriter, _ *http.Request) { w.Header()["X"] = []string{"1", "2"}; long(w, 3) },
		"a date of its own":         func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "today"); long(w, 3) },
		"the end of the connection": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close"); long(w, 3) },
		"less than it has announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "abc")
		},
		"more than it has announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, err := fmt.Fprint(w, "abc")
			if err == nil {
				panic("it was written")
			}
			fmt.Fprint(w, "ab")
		},
		"an end without an answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a panic":                  func(http.ResponseWriter, *http.Request) { panic("no") },
		"what is asked": func(w http.ResponseWriter, r *http.Request) {
			fields := r.Header.Clone()
			fields.Del("Accept")
			fields.Del("Pragma")
			fmt.Fprintln(w, r.Method, r.URL, r.RequestURI, r.Proto, r.Host, r.ContentLength, fields, r.TransferEncoding, r.Close, r.Trailer)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, h)
			var got [2]string
			for i, field := range []string{"Accept: */*", "Pragma: x"} { // the second one is not plain
				for _, body := range []string{"", "abc", strings.Repeat("x", 20<<10)} {
					got[i] += exchange(t, s, post("/call/name", body, field, "x-a: 1", "X-A:2 ", "User-Agent: test"))
				}
			}
			got[1] = strings.ReplaceAll(got[1], "net/http", "front")
			if got[0] != got[1] {
				t.Errorf("a front answers\n%s\nand net/http\n%s", got[0], got[1])
			}
		})
	}
}

// long answers with n bytes.
func long(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(n))
	for n > 0 {
		m := min(n, 100_000)
		_, _ = w.Write(bytes.Repeat([]byte("x"), m))
		n -= m
	}
}

// exchange returns what a server answers to a request, and whether another request can
// follow on the connection.
func exchange(t *testing.T, s *server, request string) string {
	t.Helper()
	c, r := s.dial(t)
	send(t, c, request)
	var out strings.Builder
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return "no answer\n"
	}
	b, err := io.ReadAll(res.Body)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range res.Header {
			if !yield(name) {
				return
			}
		}
	}) {
		if v := res.Header[name]; name != "Date" || len(v[0]) != len(http.TimeFormat) {
			fmt.Fprintln(&out, name, v)
		}
	}
	fmt.Fprintln(&out, res.Status, res.ContentLength, res.TransferEncoding, res.Close, len(b), string(b[:min(len(b), 400)]), err)
	_, _ = io.WriteString(c, request)
	_, err = http.ReadResponse(r, nil)
	fmt.Fprintln(&out, "another one:", err == nil)
	return out.String()
}

func TestWhatIsNotPlainGoesToNetHTTPWithEveryByte(t *testing.T) {
	s := serve(t, echo)
	for name, request := range map[string]string{
		"another method":         "PUT /call/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"another path":           post("/calls/a", "abc"),
		"a path below":           post("/call/a/b", "abc"),
		"a path that is encoded": post("/call/%61", "abc"),
		"a query":                post("/call/a?b=c", "abc"),
		"no name":                post("/call/", "abc"),
		"HTTP/1.0":               "POST /call/a HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"chunks":                 "POST /call/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"a long body":            post("/call/a", strings.Repeat("x", 33<<10)),
		"a long head":            post("/call/a", "abc", "X: "+strings.Repeat("x", 5<<10)),
		"many fields":            post("/call/a", "abc", strings.Split(strings.Repeat("A: b,", 99)+"C: d", ",")...),
		"an end":                 post("/call/a", "abc", "Connection: close"),
		"a value with a tab":     post("/call/a", "abc", "X: a\tb"),
		"a value in UTF-8":       post("/call/a", "abc", "X: ä"),
		"the length twice":       post("/call/a", "abc", "Content-Length: 3"),
		"a length with a zero":   "POST /call/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 03\r\n\r\nabc",
		"a procedure in gRPC":    post("/test.v1.Test/Echo", "abc", "Content-Type: application/grpc"),
		"a stream of Connect":    post("/test.v1.Test/Echo", "abc", "Content-Type: application/connect+proto"),
		"a procedure in nothing": post("/test.v1.Test/Echo", "abc"),
		"another procedure":      post("/test.v1.Test/Other", "abc", "Content-Type: application/json"),
		"bare line feeds":        "POST /call/a HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			c, r := s.dial(t)
			send(t, c, request)
			res, body := receive(t, r)
			if want := "abc"; res.Header.Get("Served") != "net/http" || body != want && len(body) < 33<<10 {
				t.Errorf("%s %v %.80q", res.Status, res.Header, body)
			}
		})
	}
	t.Run("none of any length", func(t *testing.T) {
		c, r := s.dial(t)
		for n := range 1200 {
			send(t, c, post("/call/a", "abc", "X: "+strings.Repeat("x", n)))
			if res, body := receive(t, r); res.Header.Get("Served") != "front" || body != "abc" {
				t.Fatalf("with %d bytes: %s %v %q", n, res.Status, res.Header, body)
			}
		}
	})
	t.Run("a procedure", func(t *testing.T) {
		for _, contentType := range []string{"application/json", "application/proto"} {
			c, r := s.dial(t)
			send(t, c, post("/test.v1.Test/Echo", "abc", "Content-Type: "+contentType))
			if res, body := receive(t, r); res.Header.Get("Served") != "front" || body != "abc" {
				t.Errorf("%s: %s %v %q", contentType, res.Status, res.Header, body)
			}
		}
	})
	t.Run("after plain ones", func(t *testing.T) {
		c, r := s.dial(t)
		send(t, c, post("/call/a", "1")+post("/call/b", "2")+post("/other", "3")+post("/call/c", "4"))
		var got []string
		for range 4 {
			res, body := receive(t, r)
			got = append(got, res.Header.Get("Served")+" "+body)
		}
		if want := []string{"front 1", "front 2", "net/http 3", "net/http 4"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("a head in two pieces", func(t *testing.T) {
		c, r := s.dial(t)
		send(t, c, "POST /call/a HTTP/1.1\r\nHost: local")
		send(t, c, "host\r\nContent-Length: 3\r\n\r\nabc")
		if res, body := receive(t, r); res.StatusCode != http.StatusOK || body != "abc" {
			t.Errorf("%s %q", res.Status, body)
		}
	})
}

func TestABodyCanArriveLater(t *testing.T) {
	s := serve(t, echo)
	c, r := s.dial(t)
	for range 3 {
		send(t, c, "POST /call/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
		send(t, c, "defg")
		send(t, c, "hij")
		if res, body := receive(t, r); res.Header.Get("Served") != "front" || body != "abcdefghij" {
			t.Errorf("%s %q", res.Status, body)
		}
	}
}

func TestABodyThatIsCutOffIsNotWhole(t *testing.T) {
	got := make(chan error, 1)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	})
	c, _ := s.dial(t)
	send(t, c, "POST /call/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
	_ = c.(*net.TCPConn).CloseWrite()
	if err := <-got; err != io.ErrUnexpectedEOF {
		t.Errorf("the handler gets %v", err)
	}
}

// Also a caller whose next request has arrived already, which nobody has read.
func TestACallerWhoLeavesIsNoticed(t *testing.T) {
	for name, next := range map[string]string{"immediately": "", "after the next request": post("/call/b", "")} {
		t.Run(name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan struct{})
			s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				close(began)
				<-r.Context().Done()
				close(ended)
			})
			c, _ := s.dial(t)
			send(t, c, post("/call/a", "abc")+next)
			<-began
			_ = c.Close()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the handler was not told")
			}
		})
	}
}

func TestLeaveEndsIdleConnectionsAndFinishesRequests(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/call/slow" {
			close(began)
			<-goOn
		}
		echo(w, r)
	})
	idle, fromIdle := s.dial(t)
	send(t, idle, post("/call/a", "1"))
	receive(t, fromIdle)
	busy, fromBusy := s.dial(t)
	send(t, busy, post("/call/slow", "2"))
	<-began

	drained := make(chan error, 1)
	s.front.Leave()
	go func() { drained <- s.front.Wait(t.Context()) }()
	if _, err := fromIdle.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("Wait has not waited: %v", err)
	default:
	}
	close(goOn)
	if res, body := receive(t, fromBusy); body != "2" || !res.Close {
		t.Errorf("the answer is %q, and the connection ends with it: %t", body, res.Close)
	}
	if _, err := fromBusy.ReadByte(); err != io.EOF {
		t.Errorf("the busy connection: %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	late, fromLate := s.dial(t)
	_, _ = io.WriteString(late, post("/call/a", "3"))
	if _, err := fromLate.ReadByte(); err == nil {
		t.Error("a connection is served after Leave")
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	began := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done() // Shut ends it
	})
	c, _ := s.dial(t)
	send(t, c, post("/call/a", ""))
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	s.front.Leave()
	if err := s.front.Wait(ctx); err != context.DeadlineExceeded {
		t.Error(err)
	}
}

// The last answer of a connection arrives although its peer goes on sending.
func TestTheLastAnswerArrives(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(interface{ Last() }).Last()
		http.Error(w, "too slow", http.StatusRequestTimeout)
	})
	c, r := s.dial(t)
	send(t, c, "POST /call/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\nabc")
	send(t, c, strings.Repeat("x", 10_000))
	res, body := receive(t, r)
	if res.StatusCode != http.StatusRequestTimeout || !res.Close || !strings.Contains(body, "too slow") {
		t.Errorf("%s %v %q", res.Status, res.Close, body)
	}
}

// Connections that come and go leave one watch, however often there were none.
func TestConnectionsThatComeAndGoHaveOneWatch(t *testing.T) {
	s := serve(t, echo)
	for range 20 {
		c, r := s.dial(t)
		send(t, c, post("/call/a", "abc"))
		receive(t, r)
		_ = c.Close()
		testkit.Eventually(t, "the connection has ended", func() bool { return s.front.Open() == 0 })
	}
	stacks := make([]byte, 1<<20)
	if n := strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "front.(*Front).watch("); n > 1 {
		t.Errorf("%d watches", n)
	}
}
