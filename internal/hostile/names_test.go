//go:build hostile

package hostile

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// texts returns messages, each with one of the string fields of m, and of the
// messages in it, set to text.
func texts(m protoreflect.MessageDescriptor, text string, depth int) []*dynamicpb.Message {
	var list []*dynamicpb.Message
	if depth == 0 {
		return nil
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		set := func(v protoreflect.Value) {
			msg := dynamicpb.NewMessage(m)
			if f.IsList() {
				msg.Mutable(f).List().Append(v)
			} else {
				msg.Set(f, v)
			}
			list = append(list, msg)
		}
		switch {
		case f.IsMap():
		case f.Kind() == protoreflect.StringKind:
			set(protoreflect.ValueOfString(text))
		case f.Kind() == protoreflect.MessageKind:
			for _, inner := range texts(f.Message(), text, depth-1) {
				set(protoreflect.ValueOfMessage(inner))
			}
		}
	}
	return list
}

// nameRow is row 46: names of a megabyte. The error must be small, and quick.
func nameRow() *row {
	const quick = time.Second
	long := strings.Repeat("a", 1<<20)
	header := strings.Repeat("h", 60<<10)
	return &row{
		number: 46, name: "names of 1 MB, header fields of 60 KB", once: true,
		moves: []move{
			{"every text of every message", func(b *bout) {
				h := newPeer(b.url, true)
				defer h.close()
				for _, p := range b.mustProcedures() {
					if p.path == runnerv1connect.RunnerServiceAttachProcedure {
						continue // a lane is not an answer
					}
					for _, m := range texts(p.input, long, 3) {
						raw, err := proto.Marshal(m)
						if err != nil {
							b.Errorf("%s: %v", p.path, err)
							continue
						}
						for _, s := range []speech{{"connect", "proto", false}, {"grpc", "proto", false}} {
							ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
							began := time.Now()
							r := h.call(ctx, p, s, nil, raw)
							cancel()
							b.bounded(p.path, time.Since(began), quick)
							if connect.IsWireError(r.err) {
								b.told(r.err)
							}
							if r.err != nil && r.size > maxError {
								b.Errorf("%s %s: the error has %d bytes, the most is %d: %.100v", p.path, s, r.size, maxError, r.err)
							}
						}
					}
				}
			}},
			{"paths", func(b *bout) {
				for _, path := range []string{"/call/" + header, "/call/a/" + header, "/" + header, "/ruedo.v1.InvokeService/" + header, "/" + header + "/Invoke", "/call/" + strings.Repeat("%00", 20<<10), "/call/" + strings.Repeat("%F0%9F%92%A9", 5<<10)} {
					for _, method := range []string{http.MethodPost, http.MethodGet, strings.Repeat("M", 30<<10)} {
						began := time.Now()
						if err := b.plain(method, path[:min(len(path), 60<<10-len(method))], http.Header{"Content-Type": {"application/json"}}, strings.NewReader("{}")); err == nil {
							b.Errorf("%.20s %.40s: it was taken", method, path)
						}
						b.bounded("the answer", time.Since(began), quick)
					}
				}
			}},
			{"names that are nearly one", func(b *bout) {
				// The suggestion in the error is found in bounded work.
				for _, name := range []string{strings.Repeat("victin", 9<<10), strings.Repeat("victim", 10), "victin"} {
					began := time.Now()
					err := b.plain(http.MethodPost, "/call/"+name, nil, nil)
					b.bounded("the answer", time.Since(began), quick)
					if err == nil {
						b.Errorf("%.20s: it was taken", name)
					}
				}
			}},
			{"header fields", func(b *bout) {
				fields := []string{
					"Content-Type", "Content-Encoding", "Connect-Content-Encoding", "Connect-Timeout-Ms", "Connect-Protocol-Version", "Accept-Encoding",
					"Grpc-Encoding", "Grpc-Timeout", "Te", "User-Agent", "X-Forwarded-For", "Traceparent", "Accept", "Cookie", "Authorization", "Expect",
				}
				for _, path := range []string{"/call/" + victimName, ruedov1connect.InvokeServiceInvokeProcedure, ruedov1connect.ServiceServiceWatchServicesProcedure} {
					for _, name := range fields {
						for _, kind := range []string{"application/json", "application/proto", "application/connect+proto", "application/grpc", "application/grpc-web"} {
							if name == "Content-Type" && kind != "application/json" {
								continue
							}
							h := http.Header{"Content-Type": {kind}}
							h.Set(name, header)
							b.smallAnswer(fmt.Sprintf("%s %s %s", path, kind, name), path, h)
						}
					}
				}
			}},
		},
		peakCore: 128 << 20,
	}
}

// smallAnswer makes a small request that can be refused: the answer is small in
// any case.
func (b *bout) smallAnswer(what, path string, header http.Header) {
	began := time.Now()
	a, err := b.answer(http.MethodPost, path, header, strings.NewReader("{}"))
	if err != nil {
		b.Errorf("%s: no answer that can be read: %v", what, err)
		return
	}
	b.bounded(what, time.Since(began), time.Second)
	// In gRPC and in streams of Connect an error has the status 200.
	n := len(a.body) + int(headerSize(a.header))
	if n > maxError {
		b.Errorf("%s: the answer to {} has %d bytes, the most is %d: %.100q", what, n, maxError, a.body)
	}
}
