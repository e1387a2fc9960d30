package dispatch

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
)

// Serve is one process of A1 or C1, which Run starts as -role with -next. It
// prints its address and serves until ctx ends.
func Serve(ctx context.Context, role, next string) error {
	mux := http.NewServeMux()
	switch role {
	case "http-echo":
		mux.HandleFunc("/call/echo", func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b)
		})
	case "connect-echo":
		mux.Handle(ruedov1connect.NewInvokeServiceHandler(connectEcho{}))
	case "connect-proxy":
		transport := &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true}
		mux.Handle(ruedov1connect.NewInvokeServiceHandler(connectProxy{
			ruedov1connect.NewInvokeServiceClient(&http.Client{Transport: transport}, next, connect.WithSendCompression("")),
		}))
	default:
		return fmt.Errorf("no role %q", role)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

type connectEcho struct{}

func (connectEcho) Invoke(_ context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	return &ruedov1.InvokeResponse{Payload: &ruedov1.InvokeResponse_Bytes{Bytes: req.GetBytes()}}, nil
}

type connectProxy struct {
	next ruedov1connect.InvokeServiceClient
}

func (p connectProxy) Invoke(ctx context.Context, req *ruedov1.InvokeRequest) (*ruedov1.InvokeResponse, error) {
	return p.next.Invoke(ctx, req)
}
