// Command service is the service of the Connect conformance suite as a service of
// kind http. The suite says with each request what has to be answered.
package main

import (
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/conformance/internal"
	"connectrpc.com/conformance/internal/compression"
	"connectrpc.com/conformance/internal/gen/proto/go/connectrpc/conformance/v1/conformancev1connect"
	"connectrpc.com/connect"

	"github.com/ruedo-dev/ruedo/sdk/web"
)

// maxMessage is the size of the largest message that the suite wants to have
// accepted.
const maxMessage = 200 << 10

func init() {
	path, h := conformancev1connect.NewConformanceServiceHandler(service{},
		connect.WithCodec(internal.StrictJSONCodec{}),
		connect.WithCompression(compression.Brotli, compression.NewBrotliDecompressor, compression.NewBrotliCompressor),
		connect.WithCompression(compression.Deflate, compression.NewDeflateDecompressor, compression.NewDeflateCompressor),
		connect.WithCompression(compression.Snappy, compression.NewSnappyDecompressor, compression.NewSnappyCompressor),
		connect.WithCompression(compression.Zstd, compression.NewZstdDecompressor, compression.NewZstdCompressor),
		connect.WithReadMaxBytes(maxMessage),
	)
	mux := http.NewServeMux()
	mux.Handle(path, withTrailers(halfDuplex(h)))
	web.Serve(mux)
}

func main() { web.Main() }

// halfDuplex lets a stream in both directions come over HTTP/1.1, which
// connect-go refuses although half of it works there.
func halfDuplex(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.URL.Path == conformancev1connect.ConformanceServiceBidiStreamProcedure {
			r.ProtoMajor, r.ProtoMinor = 2, 0
		}
		next.ServeHTTP(w, r)
	})
}

// withTrailers refuses gRPC without the field that announces trailers, which
// connect-go does not miss but other servers of gRPC do: it has to come through.
func withTrailers(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		codec, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
		if ok && (codec == "" || codec[0] == '+') && r.Header.Get("Te") != "trailers" {
			_ = refuse.Write(w, r, connect.NewError(connect.CodeInternal, errors.New("the field te: trailers is missing"))) // the caller has gone
			return
		}
		next.ServeHTTP(w, r)
	})
}
