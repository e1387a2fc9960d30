//go:build hostile

package hostile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/fault"
	w "github.com/ruedo-dev/ruedo/internal/wasmbin/wasmtest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// upload sends a body to UploadModule as a custom client would, and returns the
// error in the core's answer, or nil.
func (b *bout) upload(body io.Reader, encoding string) error {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url+ruedov1connect.ModuleServiceUploadModuleProcedure, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/connect+proto")
	req.Header.Set("Connect-Protocol-Version", "1")
	if encoding != "" {
		req.Header.Set("Connect-Content-Encoding", encoding)
	}
	req.ContentLength, req.Close = -1, true
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	// A core that refuses early answers before the end of the body, which
	// net/http's client would treat as an error.
	sent := make(chan error, 1)
	go func() { sent <- req.Write(conn) }()
	defer func() { _ = conn.Close(); <-sent }()
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if ended, failed := streamEnd(answer); ended {
		return failed
	}
	return fmt.Errorf("status %s, no end of the answer (%v): %.200q", res.Status, err, answer)
}

// streamEnd finds the last message of a Connect stream, which has flag 2, and
// returns the error in it.
func streamEnd(answer []byte) (ended bool, err error) {
	for len(answer) >= 5 {
		n := int(binary.BigEndian.Uint32(answer[1:])) + 5
		if n > len(answer) {
			break
		}
		if answer[0]&2 != 0 {
			return true, endOfStream(answer[0]&1 != 0, answer[5:n])
		}
		answer = answer[n:]
	}
	return false, nil
}

// endOfStream parses the end of a Connect stream.
func endOfStream(packed bool, b []byte) error {
	if packed {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return err
		}
		if b, err = io.ReadAll(io.LimitReader(z, 1<<20)); err != nil {
			return err
		}
	}
	var end struct {
		Error *struct {
			Code    connect.Code
			Message string
			Details []struct{ Type, Value string }
		}
	}
	if err := json.Unmarshal(b, &end); err != nil {
		return fmt.Errorf("the end of the answer is no JSON: %w: %q", err, b)
	}
	if end.Error == nil {
		return nil
	}
	ce := connect.NewError(end.Error.Code, errors.New(end.Error.Message))
	for _, d := range end.Error.Details {
		addInfo(ce, d.Type, d.Value)
	}
	return ce
}

// envelope returns a message of a Connect stream; flag 1 means that it is
// compressed.
func envelope(flags byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message))), message...)
}

func message(m *ruedov1.UploadModuleRequest) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // the message is built here
	}
	return b
}

func head(digest string, size uint64) []byte {
	return envelope(0, message(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Head{
		Head: &ruedov1.UploadHead{Digest: digest, SizeBytes: size},
	}}))
}

func data(b []byte) []byte {
	return message(&ruedov1.UploadModuleRequest{Part: &ruedov1.UploadModuleRequest_Data{Data: b}})
}

// repeat is a body that repeats the same bytes, without holding them in memory.
func repeat(b []byte, n int) io.Reader {
	list := make([]io.Reader, n)
	for i := range list {
		list[i] = bytes.NewReader(b)
	}
	return io.MultiReader(list...)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	_, err = z.Write(b)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // into memory
	}
	return out.Bytes()
}

// gzipBomb is a message of a data part that inflates to n times 64 MiB, in
// consecutive gzip members.
func gzipBomb(n int) []byte {
	start := data(make([]byte, 1<<20))
	return append(gzipped(start), bytes.Repeat(gzipped(make([]byte, 64<<20)), n)...)
}

// zstdBomb is 320 KB that unpack to 10 GB: 80,000 blocks, each of one byte
// repeated 128 Ki times.
func zstdBomb() []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88}
	for i := range 80_000 {
		h := uint32(1<<17)<<3 | 1<<1
		if i == 79_999 {
			h |= 1
		}
		b = append(b, byte(h), byte(h>>8), byte(h>>16), 0)
	}
	return b
}

// gone checks that nothing of a refused upload is visible.
func (b *bout) gone(digests ...string) {
	for _, d := range digests {
		_, err := b.client.Modules.StatModule(b.ctx, &ruedov1.StatModuleRequest{Digest: d})
		if !errors.Is(err, fault.ModuleNotFound) {
			b.Errorf("a module of a refused upload is visible: %v", err)
		}
	}
}

var someDigest = strings.Repeat("0123456789abcdef", 4)

// bombRow is row 12.
func bombRow() *row {
	tooLarge := expect{reason: fault.UploadTooLarge, text: []string{"64 MiB"}}
	try := func(name string, want expect, encoding string, body func() io.Reader) move {
		return move{name, func(b *bout) {
			began := time.Now()
			b.check("upload", b.upload(body(), encoding), want)
			b.bounded("the answer", time.Since(began), 2*time.Second)
			b.gone(someDigest)
		}}
	}
	small := gzipBomb(0)
	medium := sync.OnceValue(func() []byte { return gzipBomb(15) })
	big := sync.OnceValue(func() []byte { return gzipBomb(64) })
	one := func(b []byte) io.Reader { return bytes.NewReader(append(head(someDigest, 1<<20), envelope(1, b)...)) }
	return &row{
		number: 12, name: "bombs: gzip 4 MB to 4 GB, zstd 320 KB to 10 GB",
		setup: func(*bout) { medium(); big() },
		moves: []move{
			try("a message of 1 MB that inflates to 1 GB", expect{reason: fault.UploadTooLarge, text: []string{"inflates to more than 1052672 bytes, the limit"}}, "gzip", func() io.Reader { return one(medium()) }),
			try("a message of 4 MB that inflates to 4 GB", expect{reason: fault.UploadTooLarge, text: []string{"max"}}, "gzip", func() io.Reader { return one(big()) }),
			try("messages that inflate to 10 GB", tooLarge, "gzip", func() io.Reader {
				return io.MultiReader(bytes.NewReader(head(someDigest, 10<<30)), repeat(envelope(1, small), 10_000))
			}),
			try("as much, announced as 32 MiB", expect{reason: fault.RequestInvalid, text: []string{fmt.Sprint(32 << 20)}, noFix: true}, "gzip", func() io.Reader {
				// More than the announced size, but not much more: sending the rest would
				// only load this machine.
				return io.MultiReader(bytes.NewReader(head(someDigest, 32<<20)), repeat(envelope(1, small), 64))
			}),
			try("zstd, which is not spoken", expect{reason: fault.Unimplemented, text: []string{"zstd"}, noFix: true}, "zstd", func() io.Reader { return one(zstdBomb()) }),
			{"a module that is zstd", func(b *bout) {
				b.refused(zstdBomb(), expect{reason: fault.NotAModule, text: []string{"zstd"}})
				b.gone(client.Digest(zstdBomb()))
			}},
		},
		// One module, and the garbage that the collector lets pile up.
		peakCore: 256 << 20,
	}
}

// trickle returns its data, then one byte a second, until it is stopped.
type trickle struct {
	first []byte
	stop  <-chan struct{}
}

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	select {
	case <-time.After(time.Second):
		p[0] = 0
		return 1, nil
	case <-r.stop:
		return 0, io.ErrUnexpectedEOF
	}
}

// uploadRow is row 13, except the slow uploads.
func uploadRow() *row {
	const mb = 1 << 20
	part := envelope(0, data(make([]byte, mb)))
	zeros := func(n int) string { return client.Digest(make([]byte, n)) }
	return &row{
		number: 13, name: "65 MiB, more than declared, less, wrong digest",
		moves: []move{
			{"65 MiB", func(b *bout) {
				b.check("upload", b.upload(io.MultiReader(bytes.NewReader(head(zeros(65*mb), 65*mb)), repeat(part, 65)), ""),
					expect{reason: fault.UploadTooLarge, text: []string{"65 MiB", "64 MiB"}})
				b.gone(zeros(65 * mb))
			}},
			{"2^64-1 bytes by its word", func(b *bout) {
				b.check("upload", b.upload(bytes.NewReader(head(someDigest, 1<<64-1)), ""), expect{reason: fault.UploadTooLarge, text: []string{"18446744073709551615", "64 MiB"}})
			}},
			{"65 MiB announced as 1 MiB", func(b *bout) {
				b.check("upload", b.upload(io.MultiReader(bytes.NewReader(head(zeros(mb), mb)), repeat(part, 65)), ""),
					expect{reason: fault.RequestInvalid, text: []string{fmt.Sprint(mb)}, noFix: true})
				b.gone(zeros(mb))
			}},
			{"1 MiB announced as 2 MiB", func(b *bout) {
				b.check("upload", b.upload(io.MultiReader(bytes.NewReader(head(zeros(mb), 2*mb)), bytes.NewReader(part)), ""),
					expect{reason: fault.UploadIncomplete, text: []string{fmt.Sprint(mb), fmt.Sprint(2 * mb)}})
				b.gone(zeros(mb))
			}},
			{"another digest", func(b *bout) {
				wasm := b.unique(w.Function(w.I32(0)).Bytes())
				b.check("upload", b.upload(bytes.NewReader(append(head(someDigest, uint64(len(wasm))), envelope(0, data(wasm))...)), ""),
					expect{reason: fault.DigestMismatch, text: []string{someDigest, client.Digest(wasm)}})
				b.gone(someDigest, client.Digest(wasm))
			}},
			{"a message of 4 GB by its length", func(b *bout) {
				lie := append(head(someDigest, mb), 0, 0xff, 0xff, 0xff, 0xff)
				b.check("upload", b.upload(bytes.NewReader(append(lie, make([]byte, 1000)...)), ""), expect{reason: fault.UploadTooLarge})
			}},
			{"no head", func(b *bout) {
				b.check("upload", b.upload(bytes.NewReader(part), ""), expect{reason: fault.RequestInvalid, text: []string{"head"}, noFix: true})
			}},
		},
		peakCore: 256 * mb,
	}
}

// slowRow is the slow uploads of row 13: as many uploads of 1 byte a second as
// a core accepts at the same time, and one that stands still. Others must be
// able to publish meanwhile, and the slow ones must be refused when their time
// is over.
func slowRow() *row {
	const slow, patience = 4, time.Minute
	return &row{
		number: 13, name: "uploads of 1 byte a second", once: true,
		moves: []move{{"slow uploads", func(b *bout) {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			began := time.Now()
			for i := range slow {
				wg.Go(func() {
					first := append(head(someDigest, 1<<20), 0, 0, 8, 0, 0)
					body := &trickle{first: first, stop: stop}
					err := b.upload(body, "")
					select {
					case <-stop:
						b.Errorf("an upload of 1 byte a second is still in progress after %s (upload %d): %v", patience, i, err)
					default:
						b.check("slow upload", err, expect{reason: fault.Deadline})
						b.note("a slow upload was ended after %s", time.Since(began).Round(time.Second))
					}
				})
			}
			time.Sleep(time.Second) // so that all of them have started
			took := time.Now()
			if err := b.publish(b.ctx, b.service("other"), b.unique(w.Function(w.I32(0)).Bytes()), nil); err != nil {
				b.Errorf("nobody else can publish beside %d slow uploads: %s: %v", slow, fault.ReasonOf(err), err)
			}
			b.bounded("publishing beside slow uploads", time.Since(took), 5*time.Second)
			ended := make(chan struct{})
			go func() { wg.Wait(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(patience):
				close(stop)
				<-ended
			}
			b.gone(someDigest)
		}}},
		peakCore: 48 << 20,
	}
}
